// SPDX-License-Identifier: AGPL-3.0-or-later
//! Words beside and inside names, lower-case. Public knowledge of several languages.

/// Titles that nothing but a name follows.
#[rustfmt::skip]
pub(super) const TITLES: &[&str] = &[
    "mr", "mrs", "ms", "mx", "dr", "prof", "herr", "frau", "mme", "mlle", "monsieur", "madame", "mademoiselle", "señor", "señora",
    "señorita", "sra", "srta", "dra", "signor", "signora", "sig", "dott", "dhr", "mevr", "mevrouw", "meneer", "pani",
];

/// Titles that are other words too, and so count with a capital and before what is a name anyhow.
#[rustfmt::skip]
pub(super) const CAPITAL_TITLES: &[&str] = &[
    "miss", "m", "sr", "don", "doña", "pan", "sir", "dame", "lord", "lady", "hr", "fr", "ing", "univ", "dipl", "professor", "doctor",
    "mister", "ra", "dom", "fru", "fröken",
];

/// What follows a name and belongs to it.
#[rustfmt::skip]
pub(super) const SUFFIXES: &[&str] = &["jr", "sr", "ii", "iii", "iv", "md", "phd", "dds", "dvm", "esq", "mba", "junior", "senior"];

/// Small words inside names.
#[rustfmt::skip]
pub(super) const PARTICLES: &[&str] = &[
    "de", "da", "do", "dos", "das", "du", "des", "del", "della", "di", "la", "le", "van", "von", "der", "den", "ten", "ter", "zu", "af",
    "av", "bin", "ibn", "bint", "al", "el", "ben", "abu", "y", "e", "st", "o", "d", "l", "mac", "mc",
];

/// Words after which a name stands.
#[rustfmt::skip]
pub(super) const CUES: &[&str] = &[
    "dear", "hi", "hello", "hey", "named", "called", "sincerely", "regards", "signed", "attn", "surname", "liebe", "lieber", "chère",
    "cher", "starring", "featuring", "querido", "querida", "caro", "cara", "beste", "geachte",
];

/// Words after which and a colon a name stands.
#[rustfmt::skip]
pub(super) const COLON_CUES: &[&str] = &[
    "name", "from", "to", "cc", "by", "author", "patient", "customer", "client", "contact", "employee", "user", "signed", "attn",
    "recipient", "sender", "applicant", "holder", "nom", "nombre", "nome", "naam",
];

/// Pairs of words after which a name stands.
#[rustfmt::skip]
pub(super) const PAIR_CUES: &[(&str, &str)] = &[
    ("name", "is"), ("name", "s"), ("names", "are"), ("this", "is"), ("i", "am"), ("i", "m"), ("call", "me"), ("calls", "me"),
    ("called", "me"), ("call", "him"), ("call", "her"), ("directed", "by"), ("written", "by"), ("named", "him"), ("named", "her"),
    ("name", "ist"), ("me", "llamo"), ("mi", "chiamo"), ("m", "appelle"),
];

/// Words that make what stands before them an organisation.
#[rustfmt::skip]
pub(super) const ORGANISATIONS: &[&str] = &[
    "inc", "llc", "ltd", "plc", "corp", "corporation", "company", "co", "gmbh", "ag", "sa", "spa", "bv", "nv", "ab", "oy", "as", "kg",
    "limited", "group", "holdings", "associates", "partners", "industries", "enterprises", "solutions", "technologies", "systems",
    "consulting", "university", "college", "hospital", "institute", "foundation", "bank", "school", "church", "club", "orchestra",
    "brothers", "bros", "sons", "stadium", "incorporated", "agency", "llp", "pty", "pte", "international", "council", "airport", "museum", "services", "insurance", "media", "records",
];

/// Words that are no name and no place by themselves: parts of names of things, days, months, and what stands in every text.
#[rustfmt::skip]
pub(super) const COMMON: &[&str] = &[
    "the", "a", "an", "and", "or", "but", "if", "then", "not", "no", "yes", "this", "that", "these", "those", "i", "you", "he", "she",
    "it", "we", "they", "me", "him", "her", "us", "them", "my", "your", "his", "its", "our", "their", "who", "what", "when", "where",
    "why", "how", "which", "is", "are", "was", "were", "be", "been", "am", "do", "does", "did", "have", "has", "had", "can", "could",
    "would", "should", "shall", "must", "of", "in", "on", "at", "to", "from", "for", "with", "by", "as", "about", "into", "over", "after",
    "before", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "january", "february", "march", "july",
    "september", "october", "november", "december", "god", "lord", "sir", "madam", "mom", "dad", "mum", "please", "thanks", "thank",
    "hello", "hi", "hey", "dear", "country", "club", "city", "street", "there", "here", "all", "some", "any", "one", "two", "so", "let",
    "der", "die", "das", "und", "ist", "ich", "sie", "wir", "les", "est", "et", "je", "vous", "nous", "los", "las", "que", "es", "yo",
    "il", "lo", "gli", "che", "non", "sono",
];

/// What stands before the name of a ship.
pub(super) const SHIPS: &[&str] =
    &["uss", "usns", "uscgc", "usnv", "hms", "hmcs", "hmas", "ss", "mv"];

/// What small letters may stand before a capital in a name.
pub(super) const PREFIXES: &[&str] = &[
    "Mc", "Mac", "De", "Di", "Du", "Da", "La", "Le", "Lo", "Van", "Von", "Fitz", "Al", "El", "St",
    "Ó",
];

/// Parts of a house, boxes, and what else stands between the parts of an address.
#[rustfmt::skip]
pub(super) const UNITS: &[&str] = &[
    "apt", "apartment", "suite", "ste", "unit", "flat", "floor", "room", "rm", "box", "po", "p", "o", "psc", "apo", "fpo", "dpo",
    "building", "bldg", "block", "no", "nr", "wohnung", "appt", "piso", "bis",
];

/// What is numbered and is no part of an address.
#[rustfmt::skip]
pub(super) const COUNTED: &[&str] = &[
    "port", "ports", "page", "pages", "line", "lines", "row", "rows", "column", "node", "version", "build", "release", "chapter", "section",
    "paragraph", "table", "figure", "step", "item", "order", "ticket", "issue", "bug", "case", "invoice", "batch", "code", "error", "status",
    "vlan", "subnet", "slot", "channel", "gate", "flight", "bus", "train", "track", "season", "episode", "volume", "level", "phase", "stage",
    "group", "class", "grade", "type", "model", "series", "part", "lot", "docket", "rule", "article", "clause", "question", "exercise",
    "seite", "zeile", "kapitel", "abschnitt", "bestellung", "rechnung", "ligne", "chapitre", "commande", "facture", "página", "línea",
    "capítulo", "pedido", "pagina", "riga", "capitolo", "ordine", "regel", "hoofdstuk",
];

/// What a postcode is called.
pub(super) const POSTCODES: &[&str] =
    &["zip", "zipcode", "postcode", "postal", "plz", "postleitzahl", "cap", "cep"];

/// Whether a word is in a list, in any case.
pub(super) fn among(word: &str, list: &[&str]) -> bool {
    if word.is_ascii() {
        return list.iter().any(|w| w.eq_ignore_ascii_case(word));
    }
    list.iter().any(|w| !w.is_ascii() && w.chars().eq(word.chars().flat_map(char::to_lowercase)))
}
