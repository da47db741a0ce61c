// SPDX-License-Identifier: AGPL-3.0-or-later
//! What other projects call types of personal data, and what they are called here.

use std::collections::HashMap;

use anyhow::{Context as _, bail};

/// Usual names and the keys that meet them, the first one being what a label counts as. Names are compared without
/// regard to case, `-` and spaces.
const USUAL: &[(&str, &[&str])] = &[
    ("EMAIL_ADDRESS", &["email"]),
    ("EMAILADDRESS", &["email"]),
    ("PHONE_NUMBER", &["phone"]),
    ("PHONENUMBER", &["phone"]),
    ("TELEPHONE", &["phone"]),
    ("TELEPHONENUM", &["phone"]),
    ("CREDIT_CARD", &["card"]),
    ("CREDIT_CARD_NUMBER", &["card"]),
    ("CREDITCARDNUMBER", &["card"]),
    ("IBAN_CODE", &["iban"]),
    ("IBAN_NUMBER", &["iban"]),
    ("SWIFT", &["bic"]),
    ("SWIFT_CODE", &["bic"]),
    ("IP_ADDRESS", &["ip"]),
    ("IPV4", &["ip"]),
    ("IPV6", &["ip"]),
    ("MAC_ADDRESS", &["mac"]),
    ("PERSON", &["name"]),
    ("PER", &["name"]),
    ("PERSON_NAME", &["name"]),
    ("FULL_NAME", &["name"]),
    ("GIVEN_NAME", &["name"]),
    ("GIVENNAME", &["name"]),
    ("FIRST_NAME", &["name"]),
    ("FIRSTNAME", &["name"]),
    ("LAST_NAME", &["name"]),
    ("LASTNAME", &["name"]),
    ("SURNAME", &["name"]),
    // Where a place ends and an address begins, annotators do not agree on.
    ("LOCATION", &["place", "address"]),
    ("LOC", &["place", "address"]),
    ("GPE", &["place", "address"]),
    ("CITY", &["place", "address"]),
    ("STATE", &["place", "address"]),
    ("COUNTRY", &["place", "address"]),
    ("STREET_ADDRESS", &["address", "place"]),
    ("STREET", &["address", "place"]),
    ("STREET_NAME", &["address", "place"]),
    ("BUILDING_NUMBER", &["address"]),
    ("BUILDINGNUM", &["address"]),
    ("SECONDARY_ADDRESS", &["address"]),
    ("ZIP_CODE", &["address"]),
    ("ZIPCODE", &["address"]),
    ("POSTCODE", &["address"]),
    ("DATE_OF_BIRTH", &["birth_date"]),
    ("DOB", &["birth_date"]),
    ("DATEOFBIRTH", &["birth_date"]),
    ("US_SSN", &["ssn"]),
    ("SOCIAL_SECURITY_NUMBER", &["ssn"]),
    ("SOCIALNUM", &["ssn"]),
    ("US_BANK_NUMBER", &["bank_account"]),
    ("ACCOUNT_NUMBER", &["bank_account"]),
    ("ACCOUNTNUM", &["bank_account"]),
    ("ABA_ROUTING_NUMBER", &["us_routing", "routing_number"]),
    ("ROUTING_NUMBER", &["routing_number", "us_routing"]),
    ("US_DRIVER_LICENSE", &["driver_license"]),
    ("UK_DRIVING_LICENCE", &["driver_license"]),
    ("IT_DRIVER_LICENSE", &["driver_license"]),
    ("DRIVERS_LICENSE", &["driver_license"]),
    ("DRIVERLICENSENUM", &["driver_license"]),
    ("US_PASSPORT", &["passport"]),
    ("UK_PASSPORT", &["passport"]),
    ("IT_PASSPORT", &["passport"]),
    ("IN_PASSPORT", &["passport"]),
    ("PASSPORT_NUMBER", &["passport"]),
    ("ES_NIF", &["es_dni"]),
    ("TAXNUM", &["tax_id"]),
    ("IDCARDNUM", &["government_id"]),
    ("API_KEY", &["secret"]),
    ("TOKEN", &["secret"]),
];

/// A name of the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) name: String,
    /// The types that meet it, the first one being what it counts as; none when it is to be ignored.
    pub(crate) keys: Vec<usize>,
}

/// What becomes of a label's spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    /// They count.
    Counted,
    /// The guard has no such type.
    Unknown,
    /// The policy keeps it.
    Kept,
    /// The names' file says so.
    Ignored,
}

/// The guard's types, the data's names for them, and which meets which.
#[derive(Debug, Default)]
pub(crate) struct Types {
    keys: Vec<String>,
    key_numbers: HashMap<String, usize>,
    /// How many of the keys the guard has: they are the first.
    known: usize,
    /// Those of them that the policy keeps.
    kept: Vec<usize>,
    labels: Vec<Label>,
    label_numbers: HashMap<String, usize>,
    /// Keys by normal name, as a file of the user's says.
    taught: HashMap<String, Vec<String>>,
}

impl Types {
    /// The types that the guard has.
    pub(crate) fn new(known: &[&str]) -> Self {
        let mut types = Self::default();
        for key in known {
            types.key_of(key);
        }
        types.known = types.keys.len();
        types
    }

    /// Marks a type as one that the policy keeps.
    pub(crate) fn keep(&mut self, key: &str) {
        let key = self.key_of(key);
        self.kept.push(key);
    }

    /// Adds the names of a TOML file: `NAME = "key"`, `NAME = ["key", "other"]` or `NAME = "ignore"`.
    pub(crate) fn teach_toml(&mut self, text: &str, file: &str) -> anyhow::Result<()> {
        let table: toml::Table = text.parse().with_context(|| format!("{file}: not valid TOML"))?;
        for (name, value) in table {
            let keys: Option<Vec<&str>> = match &value {
                toml::Value::String(key) => Some(vec![key]),
                toml::Value::Array(keys) => keys.iter().map(toml::Value::as_str).collect(),
                _ => None,
            };
            let Some(keys) = keys.filter(|keys| !keys.is_empty()) else {
                bail!("{file}: {name}: expected a type, a list of types, or \"ignore\"");
            };
            let keys = if keys == ["ignore"] { Vec::new() } else { keys };
            if let Some(key) = keys.iter().find(|key| !self.has(key)) {
                let known = self.keys[..self.known].join(", ");
                bail!(
                    "{file}: {name}: the guard has no type {key:?} (it has: {known}; or \"ignore\")"
                );
            }
            self.teach(&name, &keys);
        }
        Ok(())
    }

    /// Adds a name that stands for these keys.
    pub(crate) fn teach(&mut self, name: &str, keys: &[&str]) {
        self.taught.insert(normal(name), keys.iter().map(|key| (*key).to_owned()).collect());
    }

    fn has(&self, key: &str) -> bool {
        self.key_numbers.get(key).is_some_and(|number| *number < self.known)
    }

    /// The number of a name of the data.
    pub(crate) fn label_of(&mut self, name: &str) -> usize {
        if let Some(number) = self.label_numbers.get(name) {
            return *number;
        }
        let keys = self.keys_of(name).iter().map(|key| self.key_of(key)).collect();
        self.labels.push(Label { name: name.to_owned(), keys });
        let number = self.labels.len() - 1;
        self.label_numbers.insert(name.to_owned(), number);
        number
    }

    /// The number of the type that a prediction's name stands for; none if it is to be ignored.
    pub(crate) fn found_as(&mut self, name: &str) -> Option<usize> {
        let label = self.label_of(name);
        self.labels[label].keys.first().copied()
    }

    fn keys_of(&self, name: &str) -> Vec<String> {
        let normal = normal(name);
        if let Some(keys) = self.taught.get(&normal) {
            return keys.clone();
        }
        let own = normal.to_ascii_lowercase();
        if self.has(&own) {
            return vec![own];
        }
        match USUAL.iter().find(|(usual, _)| *usual == normal) {
            Some((_, keys)) => keys.iter().map(|key| (*key).to_owned()).collect(),
            None => vec![own],
        }
    }

    /// The number of a type.
    pub(crate) fn key_of(&mut self, key: &str) -> usize {
        if let Some(number) = self.key_numbers.get(key) {
            return *number;
        }
        self.keys.push(key.to_owned());
        self.key_numbers.insert(key.to_owned(), self.keys.len() - 1);
        self.keys.len() - 1
    }

    pub(crate) fn label(&self, number: usize) -> &Label {
        &self.labels[number]
    }

    pub(crate) fn key(&self, number: usize) -> &str {
        &self.keys[number]
    }

    /// How many types there are, unknown ones too.
    pub(crate) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// What becomes of the spans with this label.
    pub(crate) fn standing(&self, label: usize) -> Standing {
        match self.labels[label].keys.first() {
            None => Standing::Ignored,
            Some(key) if self.kept.contains(key) => Standing::Kept,
            Some(key) if *key >= self.known => Standing::Unknown,
            Some(_) => Standing::Counted,
        }
    }

    /// Whether the guard has this type.
    pub(crate) fn is_known(&self, key: usize) -> bool {
        key < self.known
    }
}

fn normal(name: &str) -> String {
    name.trim().to_ascii_uppercase().replace(['-', ' '], "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types() -> Types {
        Types::new(&["address", "email", "name", "place", "us_itin"])
    }

    fn keys(types: &mut Types, name: &str) -> Vec<String> {
        let label = types.label_of(name);
        types.label(label).keys.iter().map(|key| types.key(*key).to_owned()).collect()
    }

    #[test]
    fn usual_names_and_own_keys_are_known() {
        let mut types = types();
        for (name, expected) in [
            ("email", vec!["email"]),
            ("Email Address", vec!["email"]),
            ("US_ITIN", vec!["us_itin"]),
            ("GPE", vec!["place", "address"]),
            ("PERSON", vec!["name"]),
            ("ORGANIZATION", vec!["organization"]),
        ] {
            assert_eq!(keys(&mut types, name), expected, "{name}");
        }
        let organization = types.label_of("ORGANIZATION");
        assert_eq!(types.standing(organization), Standing::Unknown);
        assert_eq!(types.label_of("GPE"), types.label_of("GPE"));
    }

    #[test]
    fn a_guard_that_has_no_names_does_not_know_them() {
        let mut types = Types::new(&["email", "address"]);
        let person = types.label_of("PERSON");
        assert_eq!(types.standing(person), Standing::Unknown);
        // What else would meet the label does not take the place of what it counts as.
        let location = types.label_of("LOCATION");
        assert_eq!(types.standing(location), Standing::Unknown);
    }

    #[test]
    fn what_counts_as_a_kept_type_is_apart() {
        let mut types = types();
        types.keep("place");
        for (name, standing) in [
            ("GPE", Standing::Kept),
            ("STREET_ADDRESS", Standing::Counted),
            ("PERSON", Standing::Counted),
        ] {
            let label = types.label_of(name);
            assert_eq!(types.standing(label), standing, "{name}");
        }
    }

    #[test]
    fn every_usual_name_is_written_as_it_is_compared() {
        for (name, keys) in USUAL {
            assert_eq!(normal(name), *name);
            assert!(!keys.is_empty());
        }
    }

    #[test]
    fn a_file_says_what_other_names_stand_for() {
        let mut types = types();
        let text = "NRP = \"ignore\"\nStaff = \"name\"\nEMAIL_ADDRESS = [\"name\", \"place\"]\n";
        types.teach_toml(text, "t.toml").unwrap();
        assert_eq!(keys(&mut types, "STAFF"), ["name"]);
        assert_eq!(keys(&mut types, "EMAIL_ADDRESS"), ["name", "place"]);
        assert!(keys(&mut types, "NRP").is_empty());
        let nrp = types.label_of("NRP");
        assert_eq!(types.standing(nrp), Standing::Ignored);
        assert_eq!(types.found_as("NRP"), None);
    }

    #[test]
    fn a_bad_file_says_where_and_what_is_accepted() {
        for (text, message) in [
            ("A = 1", "t.toml: A: expected"),
            ("A = []", "t.toml: A: expected"),
            ("A = \"nmae\"", "has no type \"nmae\" (it has: address, email"),
            ("A = [\"name\", 1]", "t.toml: A: expected"),
            ("A =", "t.toml: not valid TOML"),
        ] {
            let error = format!("{:#}", types().teach_toml(text, "t.toml").unwrap_err());
            assert!(error.contains(message), "{error}");
        }
    }
}
