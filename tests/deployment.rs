//! What `compose.yaml` and the Dockerfile promise: the gateway needs no rights, so it gets none.

#![expect(clippy::unwrap_used, reason = "an unreadable file fails the test as it should")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn text(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The settings of each service: name and value of what stands one level below it, and the lists below that joined by commas.
fn services(compose: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut services: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let (mut service, mut setting) = (String::new(), String::new());
    let section = compose.split("\nservices:\n").nth(1).unwrap();
    for line in section.lines().take_while(|line| line.is_empty() || line.starts_with(' ')) {
        // A comment begins behind a space; what stands in quotes here has none.
        let line = line.split(" #").next().unwrap().trim_end();
        let depth = line.len() - line.trim_start().len();
        let (name, value) = line.trim().split_once(':').unwrap_or((line.trim(), ""));
        match depth {
            2 => name.clone_into(&mut service),
            4 => {
                name.clone_into(&mut setting);
                services.entry(service.clone()).or_default().insert(name.to_owned(), value.trim().to_owned());
            }
            _ if !line.is_empty() => {
                let below = services.entry(service.clone()).or_default().entry(setting.clone()).or_default();
                *below += line.trim();
                below.push(',');
            }
            _ => {}
        }
    }
    services
}

#[test]
fn the_container_is_read_only_and_has_no_capabilities() {
    let services = services(&text("compose.yaml"));
    assert_eq!(services.keys().collect::<Vec<_>>(), ["postgres", "proxy", "waxseal"]);
    let gateway = &services["waxseal"];
    assert_eq!(gateway["read_only"], "true");
    assert_eq!(gateway["cap_drop"], "[ALL]");
    assert!(gateway["user"].contains("WAXSEAL_UID"), "not root: {}", gateway["user"]);
    assert!(gateway.contains_key("mem_limit") && gateway.contains_key("pids_limit"));
    assert_eq!(gateway["tmpfs"], r#"["/tmp:size=16m,mode=1777"]"#);
    assert_eq!(gateway["ports"], r#"- "127.0.0.1:8081:8081","#, "to nobody but this machine");
    for (name, settings) in &services {
        assert_eq!(settings["security_opt"], r#"["no-new-privileges:true"]"#, "{name}");
        for forbidden in ["privileged", "network_mode", "pid", "ipc", "devices", "userns_mode", "volumes_from"] {
            assert!(!settings.contains_key(forbidden), "{name} has {forbidden}");
        }
        assert_eq!(settings.contains_key("cap_add"), name == "proxy", "{name}");
        assert!(!settings.get("volumes").is_some_and(|all| all.contains("docker.sock")), "{name}");
    }
    for place in ["./state:/var/lib/waxseal", "./state-2:/var/lib/waxseal-cell-2", "./state-3:/var/lib/waxseal-cell-3"]
    {
        assert!(gateway["volumes"].contains(place), "a place of the epoch cell: {}", gateway["volumes"]);
    }
    assert_eq!(services["proxy"]["cap_add"], "[NET_BIND_SERVICE]");
    assert!(text("compose.yaml").contains("  back:\n    internal: true"), "the database has no way out");
}

#[test]
fn the_image_runs_as_nobody_in_particular_and_says_so_last() {
    let dockerfile = text("Dockerfile");
    let user = dockerfile.lines().rfind(|line| line.starts_with("USER ")).unwrap();
    assert!(!matches!(user, "USER root" | "USER 0"), "{user}");
}
