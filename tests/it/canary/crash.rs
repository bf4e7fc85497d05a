//! A gateway that crashes leaves no picture of its memory behind.

use std::os::unix::process::ExitStatusExt;

use reqwest::StatusCode;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

use super::BODY;
use crate::support::app::{APP_SECRET, variables};
use crate::support::estate::Folder;
use crate::support::process::{Ports, Process};
use crate::support::{database, webhook};

/// A command that runs where dumps are as large as this system allows, in this folder.
fn dumping(folder: &Folder, program: &str) -> tokio::process::Command {
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", &format!("ulimit -S -c \"$(ulimit -H -c)\"; {program}")]).current_dir(&folder.0);
    command.kill_on_drop(true);
    command
}

fn lies(folder: &Folder) -> Vec<String> {
    std::fs::read_dir(&folder.0).unwrap().map(|one| one.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_crashes_leaves_no_core_behind_even_where_its_limit_was_lifted() {
    let folder = Folder::new("crash");
    let crashed = dumping(&folder, "kill -ABRT $$").status().await.unwrap();
    println!("others are dumped here: {}", crashed.core_dumped());
    for left in lies(&folder) {
        std::fs::remove_file(folder.0.join(left)).unwrap();
    }
    let database = database::fresh().await;
    for is_lifted in [false, true] {
        let mut command = dumping(&folder, &format!("exec '{}' serve", env!("CARGO_BIN_EXE_waxseal")));
        let mut environment = variables(&database, "http://127.0.0.1:9");
        environment.retain(|(name, _)| !name.ends_with("_LISTEN"));
        command.env_clear().envs(environment).stdin(std::process::Stdio::null());
        let mut gateway = Process::launch(command, Ports::free());
        crate::support::wait::until("the gateway is ready", crate::support::wait::PATIENCE, async || {
            assert!(!gateway.has_ended(), "{}", gateway.said());
            gateway.readiness().await == Some(200)
        })
        .await;
        let body = webhook::text("4915199900011", &format!("wamid.crash.{is_lifted}"), BODY);
        let post = reqwest::Client::new().post(gateway.webhook());
        let post = post.header("x-hub-signature-256", webhook::signature(APP_SECRET, &body)).body(body);
        assert_eq!(post.send().await.unwrap().status(), StatusCode::OK);
        if is_lifted {
            // As if a program took dumps whatever their limit is. Whoever is not root cannot lift it, and is not asked to.
            let all = Rlimit { current: None, maximum: None };
            let lifted = prlimit(Pid::from_raw(gateway.pid()), Resource::Core, all);
            println!("the limit was lifted: {}", lifted.is_ok());
        }
        gateway.signal(Signal::ABORT);
        let ended = gateway.ended().await;
        assert_eq!(ended.signal(), Some(Signal::ABORT.as_raw()));
        assert!(!ended.core_dumped(), "limit lifted: {is_lifted}");
        assert_eq!(lies(&folder), [""; 0], "limit lifted: {is_lifted}");
    }
}
