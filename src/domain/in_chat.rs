//! What people ask about their data in the chat, by a word, and what they are answered.

use std::collections::HashMap;

use time::Date;

use super::consent::LONGEST_WORD;

/// Digits of the code by which somebody says that they mean it.
pub const CODE_DIGITS: usize = 6;
/// How long the code is good.
pub const CODE_HOLDS: time::Duration = time::Duration::HOUR;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wish {
    /// To be forgotten.
    Erasure,
    /// Their data, to take them elsewhere.
    Portability,
    /// To know what is kept of them.
    Access,
}

impl Wish {
    /// Every wish.
    pub const ALL: [Self; 3] = [Self::Erasure, Self::Portability, Self::Access];

    /// The stable name: that of the request which it becomes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Erasure => "erasure",
            Self::Portability => "portability",
            Self::Access => "access",
        }
    }

    /// From the stable name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wish| wish.as_str() == text)
    }
}

/// In which language somebody is answered: that of the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// German.
    De,
    /// English.
    En,
    /// Spanish.
    Es,
    /// Portuguese.
    Pt,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 4] = [Self::De, Self::En, Self::Es, Self::Pt];

    /// Its code in ISO 639-1.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::De => "de",
            Self::En => "en",
            Self::Es => "es",
            Self::Pt => "pt",
        }
    }

    /// From its code.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.as_str() == text)
    }
}

/// The words by which people ask, in any case.
#[derive(Debug, Clone, Default)]
pub struct Words(HashMap<String, (Wish, Language)>);

/// What a text may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asks {
    /// One of the words.
    For(Wish, Language),
    /// Six digits: somebody may be saying that they mean it.
    Code(String),
}

impl Words {
    /// Words behind their language, such as `de:LÖSCHEN`, each with what it asks for. `None`: one of them is no such thing, or stands for two.
    #[must_use]
    pub fn new<'w>(words: impl IntoIterator<Item = (Wish, &'w str)>) -> Option<Self> {
        let mut all = HashMap::new();
        for (wish, text) in words {
            let (language, word) = text.split_once(':')?;
            let (language, word) = (Language::parse(language)?, folded(word));
            let is_code = word.bytes().all(|byte| byte.is_ascii_digit());
            if is_code || word.len() > LONGEST_WORD || all.insert(word, (wish, language)).is_some() {
                return None;
            }
        }
        Some(Self(all))
    }

    /// Whether people can ask for anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a text asks for, when it is one of the words and nothing else, or a code.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<Asks> {
        if self.0.is_empty() || text.len() > LONGEST_WORD {
            return None;
        }
        let text = folded(text);
        if text.len() == CODE_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Asks::Code(text));
        }
        self.0.get(&text).map(|(wish, language)| Asks::For(*wish, *language))
    }
}

fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}

/// What somebody is asked who has written a word: whether they mean it.
#[must_use]
pub fn question(wish: Wish, language: Language, code: &str) -> String {
    match (language, wish) {
        (Language::De, Wish::Erasure) => format!(
            "Sie möchten, dass wir alles löschen, was wir von Ihnen gespeichert haben. Das lässt sich nicht rückgängig machen. Wenn Sie das wollen, antworten Sie innerhalb einer Stunde mit {code}."
        ),
        (Language::De, Wish::Portability | Wish::Access) => format!(
            "Sie möchten eine Auskunft über Ihre Daten. Wenn Sie das wollen, antworten Sie innerhalb einer Stunde mit {code}."
        ),
        (Language::En, Wish::Erasure) => format!(
            "You want us to delete everything that we have stored about you. This cannot be undone. If that is what you want, reply with {code} within an hour."
        ),
        (Language::En, Wish::Portability | Wish::Access) => {
            format!("You want a copy of your data. If that is what you want, reply with {code} within an hour.")
        }
        (Language::Es, Wish::Erasure) => format!(
            "Quiere que borremos todo lo que guardamos sobre usted. No se puede deshacer. Si es lo que quiere, responda con {code} en el plazo de una hora."
        ),
        (Language::Es, Wish::Portability | Wish::Access) => {
            format!("Quiere una copia de sus datos. Si es lo que quiere, responda con {code} en el plazo de una hora.")
        }
        (Language::Pt, Wish::Erasure) => format!(
            "Quer que apaguemos tudo o que guardamos sobre si. Não pode ser desfeito. Se é o que quer, responda com {code} no prazo de uma hora."
        ),
        (Language::Pt, Wish::Portability | Wish::Access) => {
            format!("Quer uma cópia dos seus dados. Se é o que quer, responda com {code} no prazo de uma hora.")
        }
    }
}

/// What somebody is told who has said that they mean it.
#[must_use]
pub const fn promise(wish: Wish, language: Language) -> &'static str {
    match (language, wish) {
        (Language::De, Wish::Erasure) => {
            "Danke. Ihre Daten werden jetzt gelöscht. Sie erhalten dazu keine weitere Nachricht."
        }
        (Language::De, Wish::Portability | Wish::Access) => {
            "Danke. Ihre Anfrage ist eingegangen. Wir melden uns innerhalb der gesetzlichen Frist."
        }
        (Language::En, Wish::Erasure) => {
            "Thank you. Your data are being deleted now. You will not hear from us about it again."
        }
        (Language::En, Wish::Portability | Wish::Access) => {
            "Thank you. We have your request and will answer within the time that the law gives us."
        }
        (Language::Es, Wish::Erasure) => "Gracias. Sus datos se están borrando. No recibirá más mensajes al respecto.",
        (Language::Es, Wish::Portability | Wish::Access) => {
            "Gracias. Hemos recibido su solicitud y responderemos dentro del plazo legal."
        }
        (Language::Pt, Wish::Erasure) => {
            "Obrigado. Os seus dados estão a ser apagados. Não receberá mais mensagens sobre isto."
        }
        (Language::Pt, Wish::Portability | Wish::Access) => {
            "Obrigado. Recebemos o seu pedido e responderemos dentro do prazo legal."
        }
    }
}

/// What somebody is told whose archive is there: where, what opens it, and until when.
#[must_use]
pub fn here_it_is(language: Language, link: &str, passphrase: &str, until: Date) -> String {
    match language {
        Language::De => format!(
            "Ihre Daten liegen bis {until} hier: {link}\n\nDie Datei ist verschlüsselt. Das Programm age (https://age-encryption.org) öffnet sie mit diesem Kennwort: {passphrase}\n\nWer diese Nachricht liest, kann Ihre Daten lesen. Geben Sie sie nicht weiter."
        ),
        Language::En => format!(
            "Your data are here until {until}: {link}\n\nThe file is encrypted. The program age (https://age-encryption.org) opens it with this passphrase: {passphrase}\n\nWhoever reads this message can read your data. Do not pass it on."
        ),
        Language::Es => format!(
            "Sus datos están aquí hasta el {until}: {link}\n\nEl archivo está cifrado. El programa age (https://age-encryption.org) lo abre con esta contraseña: {passphrase}\n\nQuien lea este mensaje puede leer sus datos. No lo reenvíe."
        ),
        Language::Pt => format!(
            "Os seus dados estão aqui até {until}: {link}\n\nO ficheiro está cifrado. O programa age (https://age-encryption.org) abre-o com esta senha: {passphrase}\n\nQuem lê esta mensagem pode ler os seus dados. Não a reencaminhe."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_counts_in_any_case_and_alone_and_six_digits_may_be_a_code() {
        let words = Words::new([(Wish::Erasure, "de:LÖSCHEN"), (Wish::Access, "es:mis datos")]).unwrap();
        assert_eq!(words.read(" löschen\n"), Some(Asks::For(Wish::Erasure, Language::De)));
        assert_eq!(words.read("MIS DATOS"), Some(Asks::For(Wish::Access, Language::Es)));
        assert_eq!(words.read("042137"), Some(Asks::Code("042137".to_owned())));
        for text in ["", "bitte löschen", "42137", "0421371", "04213a"] {
            assert_eq!(words.read(text), None, "{text}");
        }
        assert_eq!(Words::default().read("042137"), None, "nobody can ask: nothing is looked at");
    }

    #[test]
    fn words_name_a_language_and_one_wish_alone() {
        for words in [["LÖSCHEN", "en:x"], ["fr:effacer", "en:x"], ["en:x", "de:X"], ["en:123456", "en:x"]] {
            assert!(Words::new(words.map(|word| (Wish::Erasure, word))).is_none(), "{words:?}");
        }
    }
}
