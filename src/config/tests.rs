//! What an operator may rely on when writing a configuration.

mod privacy;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use ::config::{File, FileFormat, Source};

use super::layers::{Layers, keys};
use super::reader::{Reader, variable};
use super::*;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A folder of its own for each test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("waxseal-config-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn env(extra: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    let least = [
        ("DATABASE_URL", "postgres://waxseal:pw-canary@localhost/waxseal"),
        ("WAXSEAL_KEYS__KMS", "env"),
        ("WAXSEAL_KEYS__SECRET", KEY),
        ("HOME", "/nowhere"),
    ];
    let all: BTreeMap<String, String> =
        least.iter().chain(extra).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    all.into_iter()
}

fn faults(extra: &[(&str, &str)]) -> Vec<String> {
    match Config::load(None, env(extra)) {
        Err(ConfigError::Faults { faults }) => faults.into_iter().map(|fault| fault.key).collect(),
        other => panic!("expected faults, got {other:?}"),
    }
}

/// The secret on this machine.
fn local(config: &Config) -> &LocalSecret {
    match &config.keys.kms {
        KmsSource::Local(secret) => secret,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_kms_elsewhere_tells_what_it_lacks() {
    let lacking = faults(&[("WAXSEAL_KEYS__KMS", "openbao"), ("WAXSEAL_KEYS__SECRET", "")]);
    for key in ["keys.openbao_url", "keys.openbao_token"] {
        assert!(lacking.iter().any(|fault| fault == key), "{key}: {lacking:?}");
    }
    let remote = [
        ("WAXSEAL_KEYS__KMS", "openbao"),
        ("WAXSEAL_KEYS__SECRET", ""),
        ("WAXSEAL_KEYS__SECRET_FILE", ""),
        ("WAXSEAL_KEYS__OPENBAO_URL", "https://bao.example:8200"),
        ("WAXSEAL_KEYS__OPENBAO_TOKEN", "s.4711abcdefghij"),
    ];
    let config = Config::load(None, env(&remote)).unwrap();
    assert!(matches!(config.keys.kms, KmsSource::OpenBao(_)));
    assert!(!format!("{config:?}").contains("4711"), "the token prints");
}

#[test]
fn a_key_at_aws_has_its_region_in_its_arn_and_may_be_the_one_of_before() {
    let arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let aws = [("WAXSEAL_KEYS__KMS", "aws"), ("WAXSEAL_KEYS__SECRET", ""), ("WAXSEAL_KEYS__AWS_KEY", arn)];
    let config = Config::load(None, env(&aws)).unwrap();
    let KmsSource::Aws(told) = &config.keys.kms else { panic!("{config:?}") };
    assert_eq!((told.region.as_str(), told.url.host_str()), ("eu-central-1", Some("kms.eu-central-1.amazonaws.com")));
    assert!(told.credentials.is_none() && config.keys.previous.is_none());
    let with = |more: &[(&'static str, &'static str)]| faults(&[&aws[..], more].concat());
    assert_eq!(with(&[("WAXSEAL_KEYS__AWS_KEY", "alias/waxseal")]), ["keys.aws_region"]);
    assert_eq!(with(&[("WAXSEAL_KEYS__AWS_ENDPOINT", "http://kms.example.com")]), ["keys.aws_endpoint"]);
    assert_eq!(with(&[("WAXSEAL_KEYS__AWS_ACCESS_KEY_ID", "AKIA4711")]), ["keys.aws_secret_access_key"]);
    assert_eq!(with(&[("WAXSEAL_KEYS__PREVIOUS_KMS", "aws")]), ["keys.previous_kms"]);
    assert_eq!(with(&[("WAXSEAL_KEYS__PREVIOUS_KMS", "env")]), ["keys.previous_kms"]);

    let back = [("WAXSEAL_KEYS__PREVIOUS_KMS", "aws"), ("WAXSEAL_KEYS__AWS_KEY", arn)];
    let config = Config::load(None, env(&back)).unwrap();
    assert!(matches!(config.keys.previous.as_deref(), Some(KmsSource::Aws(_))), "{config:?}");
    assert_eq!(faults(&[("WAXSEAL_KEYS__PREVIOUS_KMS", "aws")]), ["keys.aws_key", "keys.aws_region"]);
    let twice = [back[0], back[1], ("WAXSEAL_KEYS__PREVIOUS_SECRET_FILE", "/run/secrets/old")];
    assert_eq!(faults(&twice), ["keys.previous_kms"]);
}

#[test]
fn the_least_configuration_is_a_database_and_a_key() {
    let config = Config::load(None, env(&[])).unwrap();
    assert_eq!(config.server.public_listen.port(), 8080);
    assert_eq!(config.ingest.queue_bytes, 32 << 20);
    assert!(config.bootstrap.is_none() && config.keys.url.is_none() && config.keys.cell_files.is_empty());
    assert_eq!(local(&config).read().unwrap()[1], 0x11);
}

#[test]
fn the_manual_and_the_sections_name_the_same_keys() {
    let documented = keys(&File::from_str(DEFAULT_TOML, FileFormat::Toml).collect().unwrap());
    let mut reader = Reader::new(Layers::stack(None, &env(&[]).collect()).unwrap());
    read(&mut reader, &BTreeMap::new());
    assert_eq!(reader.asked(), &documented);
}

#[test]
fn the_manual_names_the_variable_of_every_key() {
    for key in keys(&File::from_str(DEFAULT_TOML, FileFormat::Toml).collect().unwrap()) {
        assert!(DEFAULT_TOML.contains(&variable(&key)), "{key}");
    }
}

#[test]
fn the_environment_is_above_the_file_and_the_file_above_the_default() {
    let folder = Folder::new("layers");
    let text = "[server]\ndrain_seconds = 7\npublic_listen = \"127.0.0.1:1\"\n[deliver]\nallowed_hosts = [\"CRM\"]";
    let file = folder.file("waxseal.toml", text, 0o644);
    let extra = [("WAXSEAL_SERVER__DRAIN_SECONDS", "9"), ("WAXSEAL_DELIVER__ALLOWED_NETWORKS", "10.0.0.0/8, fd00::/8")];
    let config = Config::load(Some(&file), env(&extra)).unwrap();
    assert_eq!(config.server.drain.as_secs(), 9);
    assert_eq!(config.server.public_listen.port(), 1);
    assert_eq!(config.server.admin_listen.port(), 8082);
    assert_eq!(config.deliver.allowed_networks.len(), 2);
    assert_eq!(config.deliver.allowed_hosts, ["crm"]);
    let printed = config.to_redacted_toml();
    assert!(printed.contains("drain_seconds = 9 # environment") && printed.contains("= \"127.0.0.1:1\" # file"));
    assert!(printed.contains("admin_listen = \"0.0.0.0:8082\" # default"));
}

#[test]
fn what_is_printed_can_be_read_again() {
    let folder = Folder::new("again");
    let printed = Config::load(None, env(&[])).unwrap().to_redacted_toml();
    let file = folder.file("printed.toml", &printed.replace("\"(set)\"", "\"\""), 0o644);
    assert_eq!(Config::load(Some(&file), env(&[])).unwrap().server.drain.as_secs(), 25);
}

#[test]
fn our_own_variable_is_above_the_customary_one() {
    let config = Config::load(None, env(&[("WAXSEAL_DATABASE__URL", "postgres://ours/db")])).unwrap();
    assert_eq!(config.database.url.expose(), "postgres://ours/db");
}

#[test]
fn all_faults_are_reported_at_once() {
    let extra = [
        ("WAXSEAL_SERVER__DRAIN_SECONDS", "soon"),
        ("WAXSEAL_SERVER__PUBLIC_LISTEN", "8080"),
        ("DATABASE_URL", ""),
        ("WAXSEAL_KEYS__SECRET", "abc"),
        ("WAXSEAL_INGEST__WRITERS", "0"),
        ("WAXSEAL_LOG__FORMAT", "xml"),
        ("WAXSEAL_SERVR__X", "1"),
        ("WHATSAPP_WABA_ID", "12"),
    ];
    let expected = [
        "server.public_listen",
        "server.drain_seconds",
        "database.url",
        "keys.secret",
        "ingest.writers",
        "log.format",
        "WHATSAPP_ACCESS_TOKEN",
        "WHATSAPP_PHONE_NUMBER_ID",
        "WHATSAPP_APP_SECRET",
        "WHATSAPP_VERIFY_TOKEN",
        "WAXSEAL_SERVR__X",
    ];
    assert_eq!(faults(&extra), expected);
}

#[test]
fn unknown_keys_are_errors_in_the_file_and_in_the_environment() {
    let folder = Folder::new("unknown");
    let file = folder.file("waxseal.toml", "top = 1\n[server]\ndrain_second = 7\n[empty]\n[meta]\n", 0o644);
    let Err(ConfigError::Faults { faults }) = Config::load(Some(&file), env(&[("WAXSEAL_SERVER_DRAIN_SECONDS", "1")]))
    else {
        panic!("accepted")
    };
    let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["empty", "server.drain_second", "top", "WAXSEAL_SERVER_DRAIN_SECONDS"]);
}

#[test]
fn the_names_of_dev_env_are_not_keys() {
    let extra = [("WAXSEAL_PUBLIC_URL", "http://x"), ("WAXSEAL_API_KEY", "k"), ("WAXSEAL_CONFIG", "f")];
    assert!(Config::load(None, env(&extra)).is_ok());
}

#[test]
fn a_section_given_as_a_plain_value_is_an_error_and_not_a_panic() {
    let folder = Folder::new("plain");
    let file = folder.file("waxseal.toml", "server = 3\n", 0o644);
    assert!(Config::load(Some(&file), env(&[])).is_err());
}

#[test]
fn a_secret_may_come_from_a_file() {
    let folder = Folder::new("secret");
    let file = folder.file("dsn", "postgres://filed/db\n", 0o600);
    let extra = [("DATABASE_URL", ""), ("WAXSEAL_DATABASE__URL_FILE", file.to_str().unwrap())];
    assert_eq!(Config::load(None, env(&extra)).unwrap().database.url.expose(), "postgres://filed/db");
}

#[test]
fn everything_that_is_wrong_with_certificates_is_said_at_once() {
    let folder = Folder::new("tls");
    let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let (ours, other) = (made("gateway.example"), made("other.example"));
    let chain = folder.file("ours.pem", &ours.cert.pem(), 0o644);
    let key = folder.file("ours.key", &ours.signing_key.serialize_pem(), 0o600);
    let open_key = folder.file("open.key", &ours.signing_key.serialize_pem(), 0o644);
    let foreign_key = folder.file("foreign.key", &other.signing_key.serialize_pem(), 0o600);
    let nonsense = folder.file("nonsense.pem", "nonsense", 0o644);
    let text = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let [chain, key, open_key, foreign_key, nonsense] = [&chain, &key, &open_key, &foreign_key, &nonsense].map(text);

    let with = |listener: &str, what: &str, path: &str| (format!("WAXSEAL_TLS__{listener}_{what}"), path.to_owned());
    let load = |set: Vec<(String, String)>| {
        let set: Vec<(&str, &str)> = set.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Config::load(None, env(&set))
    };
    let right = vec![
        with("PUBLIC", "CERTIFICATE_FILE", &chain),
        with("PUBLIC", "KEY_FILE", &key),
        with("PUBLIC", "AUTHORITIES_FILE", &chain),
    ];
    let config = load(right).unwrap();
    assert!(config.tls.public.is_some() && config.tls.internal.is_none() && config.tls.admin.is_none());

    let wrong = vec![
        with("PUBLIC", "CERTIFICATE_FILE", &nonsense),
        with("PUBLIC", "KEY_FILE", &open_key),
        with("PUBLIC", "AUTHORITIES_FILE", "/nowhere/x"),
        with("PUBLIC", "CLIENT_NAME", ""),
        with("INTERNAL", "AUTHORITIES_FILE", &chain),
        with("INTERNAL", "CLIENTS", "perhaps"),
        with("ADMIN", "CERTIFICATE_FILE", &chain),
        with("ADMIN", "KEY_FILE", &foreign_key),
    ];
    let Err(ConfigError::Faults { faults }) = load(wrong) else { panic!("accepted") };
    let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    let expected = [
        "tls.internal_clients",
        "tls.public_client_name",
        "tls.internal_certificate_file",
        "tls.public_certificate_file",
        "tls.public_key_file",
        "tls.public_authorities_file",
        "tls.admin_key_file",
    ];
    assert_eq!(keys, expected);
    assert!(faults[4].problem.contains("0644"), "{}", faults[4]);
}

#[test]
fn both_forms_of_a_secret_are_one_too_many() {
    let both = [
        ("WAXSEAL_KEYS__URL", "postgres://a/b"),
        ("WAXSEAL_KEYS__URL_FILE", "/x"),
        ("WAXSEAL_KEYS__SECRET_FILE", "/x"),
    ];
    assert_eq!(faults(&both), ["keys.url", "keys.secret"]);
    assert_eq!(faults(&[("WAXSEAL_KEYS__URL_FILE", "/nowhere/x")]), ["keys.url_file"]);
}

#[test]
fn empty_and_example_secrets_are_refused() {
    let zeros = "0".repeat(64);
    assert_eq!(faults(&[("WAXSEAL_KEYS__SECRET", &zeros)]), ["keys.secret"]);
    assert_eq!(faults(&[("WAXSEAL_KEYS__SECRET", "")]), ["keys.secret"]);
    assert_eq!(faults(&[("DATABASE_URL", "postgres://u:changeme@h/d")]), ["database.url"]);
    let extra = number("WHATSAPP_APP_SECRET", "changeme");
    assert_eq!(faults(&extra), ["WHATSAPP_APP_SECRET"]);
}

fn number<'a>(name: &'a str, value: &'a str) -> [(&'a str, &'a str); 6] {
    [
        ("WHATSAPP_ACCESS_TOKEN", "EAAtoken-canary"),
        ("WHATSAPP_PHONE_NUMBER_ID", "106540352242922"),
        ("WHATSAPP_WABA_ID", "102290129340398"),
        ("META_APP_SECRET", "app-canary"),
        ("WHATSAPP_VERIFY_TOKEN", "verify-canary"),
        (name, value),
    ]
}

#[test]
fn a_number_is_set_up_from_the_environment() {
    let bootstrap = Config::load(None, env(&number("X", ""))).unwrap().bootstrap.unwrap();
    assert_eq!(bootstrap.app_secret.expose(), "app-canary");
    assert_eq!(bootstrap.phone_number_id, "106540352242922");
    assert_eq!(faults(&number("WHATSAPP_WABA_ID", "acme")), ["WHATSAPP_WABA_ID"]);
}

#[test]
fn no_secret_is_ever_printed() {
    let config = Config::load(None, env(&number("X", ""))).unwrap();
    let broken =
        Config::load(None, env(&[("DATABASE_URL", "mysql://u:pw-canary@h"), ("WAXSEAL_KEYS__SECRET", "key-canary")]));
    let broken = broken.unwrap_err();
    let folder = Folder::new("printing");
    let file = folder.file("bad.toml", "[database]\nurl = \"postgres://u:pw-canary@h", 0o600);
    let bad = Config::load(Some(&file), env(&[])).unwrap_err();
    assert!(bad.to_string().contains("line 2"), "{bad}");
    let said = format!("{config:?}{}{broken}{broken:?}{bad}{bad:?}", config.to_redacted_toml());
    assert!(!said.contains("canary") && !said.contains("0011223344"), "{said}");
}

#[test]
fn a_key_file_must_be_its_owners_alone() {
    let folder = Folder::new("keyfile");
    assert_eq!(read_key_file(&folder.file("good", &format!("{KEY}\n"), 0o600)).unwrap()[2], 0x22);
    let open = read_key_file(&folder.file("open", KEY, 0o640));
    assert!(matches!(open, Err(KeyFileError::TooOpen { mode: 0o640 })));
    assert!(matches!(read_key_file(&folder.file("short", "abcd", 0o600)), Err(KeyFileError::NotHex)));
    assert!(matches!(read_key_file(&folder.file("zero", &"0".repeat(64), 0o600)), Err(KeyFileError::Example)));
    assert!(matches!(read_key_file(&folder.0), Err(KeyFileError::NotRegular)));
    assert!(matches!(read_key_file(&folder.0.join("none")), Err(KeyFileError::Missing)));
}

#[test]
fn a_key_file_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return; // only root can give a file away
    }
    let folder = Folder::new("foreign");
    let file = folder.file("key", KEY, 0o600);
    std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
    assert!(matches!(read_key_file(&file), Err(KeyFileError::ForeignOwner { owner: 65534 })));
}

#[test]
fn the_file_kms_reads_its_file_when_asked() {
    let folder = Folder::new("filekms");
    let path = folder.file("kms", KEY, 0o600);
    let extra = [
        ("WAXSEAL_KEYS__KMS", "file"),
        ("WAXSEAL_KEYS__SECRET", ""),
        ("WAXSEAL_KEYS__SECRET_FILE", path.to_str().unwrap()),
    ];
    let config = Config::load(None, env(&extra)).unwrap();
    assert_eq!(local(&config).read().unwrap()[15], 0xff);
    assert_eq!(faults(&[("WAXSEAL_KEYS__KMS", "file")]), ["keys.secret"]);
    assert_eq!(faults(&[("WAXSEAL_KEYS__KMS", "file"), ("WAXSEAL_KEYS__SECRET", "")]), ["keys.secret_file"]);
}

#[test]
fn the_log_keeps_its_entries_for_half_a_year_at_least() {
    assert_eq!(Config::load(None, env(&[])).unwrap().audit.retention_days, 1096);
    assert_eq!(faults(&[("WAXSEAL_AUDIT__RETENTION_DAYS", "179")]), ["audit.retention_days"]);
}

#[test]
fn a_quorum_is_of_the_witnesses_that_there_are() {
    let of = |witnesses: &str, quorum: &str| {
        faults(&[("WAXSEAL_AUDIT__WITNESSES", witnesses), ("WAXSEAL_AUDIT__QUORUM", quorum)])
    };
    let two = "a+1+b https://a.example.com, c+2+d https://c.example.com/deep";
    for quorum in ["0", "3"] {
        assert_eq!(of(two, quorum), ["audit.quorum"]);
    }
    assert_eq!(of("", "1"), ["audit.quorum"]);
    for wrong in ["a+1+b", "a+1+b ftp://a.example.com", "a+1+b https://a.example.com/?x"] {
        assert_eq!(of(wrong, "1"), ["audit.witnesses"], "{wrong}");
    }
    let both = [("WAXSEAL_AUDIT__WITNESSES", two), ("WAXSEAL_AUDIT__QUORUM", "2")];
    assert_eq!(Config::load(None, env(&both)).unwrap().audit.witnesses[1].url.path(), "/deep");
}
