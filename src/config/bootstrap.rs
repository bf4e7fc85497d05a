//! A single number set up from the environment, under the names that Cloud API projects commonly use.

use std::collections::BTreeMap;
use std::path::Path;

use super::fault::Fault;
use super::reader::{proper, read_secret_file};
use crate::secret::{AccessToken, AppSecret, VerifyToken};

/// Everything needed to connect one number.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// The token of the system user.
    pub access_token: AccessToken,
    /// Digits.
    pub phone_number_id: String,
    /// Digits.
    pub waba_id: String,
    /// The secret of the Meta app.
    pub app_secret: AppSecret,
    /// What is entered beside the webhook URL at Meta.
    pub verify_token: VerifyToken,
}

const NAMES: [&str; 5] = [
    "WHATSAPP_ACCESS_TOKEN",
    "WHATSAPP_PHONE_NUMBER_ID",
    "WHATSAPP_WABA_ID",
    "WHATSAPP_APP_SECRET",
    "WHATSAPP_VERIFY_TOKEN",
];
const APP_SECRET_ALIAS: &str = "META_APP_SECRET";

impl Bootstrap {
    /// `Ok(None)` when no variable is set; a variable set to nothing counts as not set. With some set and others not,
    /// each that is missing is a fault.
    pub(super) fn read(env: &BTreeMap<String, String>) -> Result<Option<Self>, Vec<Fault>> {
        let found = NAMES.map(|name| (name, variable(env, name)));
        if found.iter().all(|(_, value)| matches!(value, Ok(None))) {
            return Ok(None);
        }
        let mut faults = Vec::new();
        let [access_token, phone_number_id, waba_id, app_secret, verify_token] =
            found.map(|(name, value)| checked(name, value).map_err(|fault| faults.push(fault)).unwrap_or_default());
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Some(Self {
            access_token: AccessToken::new(access_token),
            phone_number_id,
            waba_id,
            app_secret: AppSecret::new(app_secret),
            verify_token: VerifyToken::new(verify_token),
        }))
    }
}

fn checked(name: &str, value: Result<Option<String>, Fault>) -> Result<String, Fault> {
    let fault = |problem: String| Fault { key: name.to_owned(), problem };
    let Some(value) = value? else {
        return Err(fault("is missing; a number set up from the environment needs all WHATSAPP_ variables".to_owned()));
    };
    if !name.ends_with("_ID") {
        return proper(value).map_err(fault);
    }
    if value.bytes().all(|byte| byte.is_ascii_digit()) && value.len() <= 32 {
        Ok(value)
    } else {
        Err(fault("must be digits".to_owned()))
    }
}

/// The value of `name`, in either form and under either name.
fn variable(env: &BTreeMap<String, String>, name: &str) -> Result<Option<String>, Fault> {
    let own = either_form(env, name)?;
    match own {
        None if name == "WHATSAPP_APP_SECRET" => either_form(env, APP_SECRET_ALIAS),
        own => Ok(own),
    }
}

fn either_form(env: &BTreeMap<String, String>, name: &str) -> Result<Option<String>, Fault> {
    let file_name = format!("{name}_FILE");
    let set = |name: &str| env.get(name).filter(|value| !value.trim().is_empty());
    let fault = |key: &str, problem: String| Fault { key: key.to_owned(), problem };
    match (set(name), set(&file_name)) {
        (Some(_), Some(_)) => Err(fault(name, format!("is set, and so is {file_name}; keep one"))),
        (Some(value), None) => Ok(Some(value.clone())),
        (None, Some(path)) => read_secret_file(Path::new(path)).map(Some).map_err(|problem| fault(&file_name, problem)),
        (None, None) => Ok(None),
    }
}
