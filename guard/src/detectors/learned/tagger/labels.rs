// SPDX-License-Identifier: AGPL-3.0-or-later
//! What the labels of a model mean here.

use bho_engine::Encoder;

use crate::finding::PiiType;

pub(super) const NAME: PiiType = PiiType::new("name");
pub(super) const ADDRESS: PiiType = PiiType::new("address");
pub(super) const PLACE: PiiType = PiiType::new("place");
const TAX_ID: PiiType = PiiType::new("tax_id");
const BANK_ACCOUNT: PiiType = PiiType::new("bank_account");
const ROUTING_NUMBER: PiiType = PiiType::new("routing_number");
const GOVERNMENT_ID: PiiType = PiiType::new("government_id");
const PASSPORT: PiiType = PiiType::new("passport");
const DRIVER_LICENSE: PiiType = PiiType::new("driver_license");

/// The types the tagger reports.
pub const TAGGED_TYPES: &[PiiType] = &[
    NAME,
    ADDRESS,
    PLACE,
    TAX_ID,
    BANK_ACCOUNT,
    ROUTING_NUMBER,
    GOVERNMENT_ID,
    PASSPORT,
    DRIVER_LICENSE,
];

/// What a model's entity is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entity {
    /// A given name; true for one that may be any part of a name's front.
    Name {
        given: bool,
    },
    Address,
    Place,
    /// A number that its context must confirm: an index into [`NUMBERS`].
    Number(u8),
}

/// Numbers, their types and the words one of which must stand beside one, lower-case.
#[rustfmt::skip]
pub(super) const NUMBERS: &[(&str, PiiType, &[&str])] = &[
    ("TAX_ID", TAX_ID, &[
        "tax", "taxpayer", "tin", "itin", "ein", "vat", "steuer", "steuernummer", "fiscal", "fiscale", "fiscaal", "impuestos", "rfc", "nif",
    ]),
    ("BANK_ACCOUNT", BANK_ACCOUNT, &[
        "account", "acct", "acc", "checking", "savings", "deposit", "konto", "kontonummer", "cuenta", "compte", "conto", "rekening",
    ]),
    ("ROUTING_NUMBER", ROUTING_NUMBER, &["routing", "aba", "rtn", "transit", "sort", "bankleitzahl", "blz"]),
    ("GOVERNMENT_ID", GOVERNMENT_ID, &[
        "id", "identity", "identification", "national", "government", "citizen", "personal", "resident", "ausweis", "dni", "cédula",
        "identité", "identità", "social", "security", "insurance", "ssn",
    ]),
    ("PASSPORT", PASSPORT, &["passport", "reisepass", "pass", "passeport", "pasaporte", "passaporto", "paspoort"]),
    ("DRIVERS_LICENSE", DRIVER_LICENSE, &[
        "driver", "drivers", "driver's", "driving", "license", "licence", "dl", "führerschein", "permis", "carnet", "patente",
    ]),
];

const OTHERS: &[(&str, Entity)] = &[
    ("GIVEN_NAME", Entity::Name { given: true }),
    ("SURNAME", Entity::Name { given: false }),
    ("PER", Entity::Name { given: false }),
    ("PERSON", Entity::Name { given: false }),
    ("BUILDING_NUMBER", Entity::Address),
    ("STREET_NAME", Entity::Address),
    ("SECONDARY_ADDRESS", Entity::Address),
    ("ZIP_CODE", Entity::Address),
    ("CITY", Entity::Place),
    ("STATE", Entity::Place),
    ("LOC", Entity::Place),
];

/// What each label of a model stands for. Entities that are not listed (`EMAIL`, `PHONE`, `URL`) are left to the detectors
/// that validate them.
pub(super) struct Labels(Vec<Option<Entity>>);

impl Labels {
    /// The labels of a model, or what is wrong with them.
    pub(super) fn of(encoder: &dyn Encoder) -> Result<Self, String> {
        let name = &encoder.info().name;
        let mut labels = Vec::with_capacity(encoder.labels().len());
        for label in encoder.labels() {
            labels.push(match label.split_once('-') {
                Some(("B" | "I", entity)) => entity_of(entity),
                _ if label == "O" => None,
                _ => return Err(format!("model {name}: label {label:?}; accepted: O, B-X, I-X")),
            });
        }
        if labels.iter().all(Option::is_none) {
            let numbers = NUMBERS.iter().map(|(entity, ..)| *entity);
            let all: Vec<_> = OTHERS.iter().map(|(entity, _)| *entity).chain(numbers).collect();
            let (found, known) = (encoder.labels().join(", "), all.join(", "));
            let accepted = "accepted: O, and B-X, I-X with X one or more of";
            return Err(format!("model {name} has the labels [{found}]; {accepted}: {known}"));
        }
        Ok(Self(labels))
    }

    /// The entities that a token may be, each with its probability.
    pub(super) fn read<'a>(
        &'a self,
        probabilities: &'a [f32],
    ) -> impl Iterator<Item = (Entity, f32)> + 'a {
        self.0.iter().zip(probabilities).filter_map(|(entity, p)| Some(((*entity)?, *p)))
    }
}

fn entity_of(entity: &str) -> Option<Entity> {
    let number = || NUMBERS.iter().position(|(name, ..)| *name == entity);
    let other = OTHERS.iter().find(|(name, _)| *name == entity).map(|(_, entity)| *entity);
    other.or_else(|| Some(Entity::Number(u8::try_from(number()?).ok()?)))
}
