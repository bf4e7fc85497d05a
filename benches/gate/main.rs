//! `make bench`: how many webhooks a second this build proves, seals, stores and answers, and how many events it delivers, on a
//! Postgres that is made for it and deleted afterwards. `docs/performance.md` says what is measured and what is not. Nothing
//! else is written. The argument `in` measures the way in alone, `out` the way out to apps
//! alone, `audit` the audit log alone, `send` the way out to Meta alone; `privacy` what is kept of people and how it goes: no other run measures that.

mod audit;
mod bench;
mod ceiling;
mod closed;
mod database;
mod gateway;
mod histogram;
mod history;
mod http1;
mod keeping;
mod load;
mod machine;
mod open;
mod out;
mod process;
mod progress;
mod receiver;
mod scenario;
mod sending;
mod server;
mod table;
mod targets;
mod trial;
mod webhook;

use std::io::Write;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use waxseal::crypto::random;

use bench::{Bench, Sizes};
use load::Meta;
use server::Server;
use webhook::Business;

const BUSINESS: Business = Business {
    waba_id: "102290129340398",
    phone_number_id: "106540352242922",
    app_secret: "b57c1f0e9ad2486f83e5d0271c94ba60",
};

fn main() -> anyhow::Result<()> {
    // Cargo runs benchmarks with this argument, and hands everything else to tests.
    if !std::env::args().any(|argument| argument == "--bench") {
        progress::say("this is a benchmark: run it with `make bench`\n");
        return Ok(());
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            done = measure() => done,
            // Leaving here drops the gateways and the server, which ends them.
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
            _ = terminate.recv() => anyhow::bail!("terminated"),
        }
    })
}

async fn measure() -> anyhow::Result<()> {
    let sizes = Sizes::chosen();
    progress::say("starting Postgres");
    let server = Server::start().await?;
    let machine = machine::describe(&server.describe().await?);
    let meta = Arc::new(Meta::new(BUSINESS, u32::from_be_bytes(random::bytes())));
    let bench = Bench { meta, postgres: server.process().await?, sizes };
    if let Some(wanted) = trial::asked_for() {
        let found = trial::run(&bench, &server, &wanted).await?;
        return Ok(std::io::stdout().write_all(table::render_trial(&found).as_bytes())?);
    }
    let alone = |part| std::env::args().any(|argument| argument == part);
    let (mut report, mut targets) = (format!("\n\n{machine}\n"), Vec::new());
    let (only_audit, only_sending) = (alone("audit"), alone("send"));
    if alone("privacy") {
        let findings = keeping::run(&bench, &server).await?;
        report.push_str(&keeping::report::render(&findings));
        report.push_str(&table::verdicts(&keeping::report::judge(&findings)));
        return Ok(std::io::stdout().write_all(report.as_bytes())?);
    }
    if !alone("out") && !only_audit && !only_sending {
        let findings = scenario::run(&bench, &server).await?;
        report.push_str(&table::render(&findings, sizes));
        targets.extend(targets::judge(&findings));
    }
    if !alone("in") && !only_audit && !only_sending {
        let findings = out::run(&bench, &server, sizes.out).await?;
        report.push_str(&out::report::render(&findings));
        targets.extend(out::report::judge(&findings));
    }
    if only_sending || !(alone("in") || alone("out") || only_audit) {
        let findings = sending::run(&bench, &server).await?;
        report.push_str(&sending::report::render(&findings));
        targets.extend(sending::report::judge(&findings));
    }
    if only_audit || !(alone("in") || alone("out") || only_sending) {
        match audit::run(&bench, &server).await {
            Ok(findings) => {
                report.push_str(&audit::report::render(&findings));
                targets.extend(audit::report::judge(&findings));
            }
            // What was measured before is worth telling all the same.
            Err(error) => {
                let said = format!("\nthe audit log was not measured: {error:#}\n");
                report.push_str(&said);
            }
        }
    }
    report.push_str(&table::verdicts(&targets));
    std::io::stdout().write_all(report.as_bytes())?;
    Ok(())
}
