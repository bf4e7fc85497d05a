//! The templates of every account, in memory: read anew when they were synced, by whichever process.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use time::{Duration, OffsetDateTime};

use crate::directory::{Directory, LoadError};
use crate::domain::template::Shape;
use crate::ids::{TenantId, WabaId};
use crate::store::Store;
use crate::store::polls::Kind;

/// A list that is older says nothing of what is not in it.
const BELIEVED: Duration = Duration::hours(6);
/// A list is asked for anew at most this often because somebody names what is not in it.
const AGAIN: Duration = Duration::minutes(1);

type Account = (TenantId, WabaId);

/// A template, as far as it decides.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) status: String,
    pub(super) category: String,
    pub(super) shape: Shape,
}

/// What the book says of a name.
pub(super) enum Page {
    /// There it is.
    Known(Arc<Known>),
    /// There is none of this name.
    NoName,
    /// There is none in this language.
    NoLanguage,
    /// We do not know.
    Unsure,
}

/// The templates of one account: languages by names.
#[derive(Debug)]
struct List {
    version: i64,
    done_at: OffsetDateTime,
    names: HashMap<String, HashMap<String, Arc<Known>>>,
}

/// All templates. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Book {
    lists: Arc<RwLock<HashMap<Account, Arc<List>>>>,
    wanted: Arc<Mutex<HashSet<Account>>>,
}

impl Book {
    /// Looks a template up. One that is missing has its list asked for anew.
    pub(super) fn look(
        &self,
        (tenant, account): (TenantId, &WabaId),
        name: &str,
        language: &str,
        now: OffsetDateTime,
    ) -> Page {
        let key = (tenant, account.clone());
        let list = self.lists.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let Some(list) = list else { return Page::Unsure };
        let languages = list.names.get(name);
        if let Some(known) = languages.and_then(|languages| languages.get(language)) {
            return Page::Known(known.clone());
        }
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        match (now - list.done_at < BELIEVED, languages) {
            (false, _) => Page::Unsure,
            (true, Some(_)) => Page::NoLanguage,
            (true, None) => Page::NoName,
        }
    }

    /// Reads what was synced since, and asks for what somebody missed. Called once a second.
    pub async fn refresh(&self, store: &Store, directory: &Directory, now: OffsetDateTime) -> Result<(), LoadError> {
        let wanted = std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner));
        for (tenant, account) in wanted {
            let owner = [account.as_str().to_owned()];
            store.hasten_polls(tenant, Kind::Templates, &owner, (now - AGAIN, now)).await?;
        }
        for reached in store.templates_reached().await? {
            let key = (TenantId::from_uuid(reached.tenant_id), WabaId::new(reached.owner));
            let Some(done_at) = reached.done_at else { continue };
            let is_new = {
                let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
                lists.get(&key).is_none_or(|list| (list.version, list.done_at) != (reached.version, done_at))
            };
            if is_new {
                let names = read(directory, &key).await?;
                let list = Arc::new(List { version: reached.version, done_at, names });
                self.lists.write().unwrap_or_else(PoisonError::into_inner).insert(key, list);
            }
        }
        Ok(())
    }
}

async fn read(
    directory: &Directory,
    (tenant, account): &Account,
) -> Result<HashMap<String, HashMap<String, Arc<Known>>>, LoadError> {
    let mut names: HashMap<String, HashMap<String, Arc<Known>>> = HashMap::new();
    for template in directory.templates_of(*tenant, account).await? {
        let shape = Shape::read(&template.components, template.named);
        let known = Known { status: template.status, category: template.category, shape };
        names.entry(template.name).or_default().insert(template.language, Arc::new(known));
    }
    Ok(names)
}
