// SPDX-License-Identifier: AGPL-3.0-or-later
//! Words of postal addresses, lower-case unless said otherwise.

/// Ends of English street names.
#[rustfmt::skip]
pub(super) const STREET: &[&str] = &[
    "street", "st", "avenue", "ave", "av", "boulevard", "blvd", "road", "rd", "lane", "ln", "drive", "dr", "court", "ct", "place",
    "pl", "square", "sq", "terrace", "ter", "crescent", "cres", "close", "way", "parkway", "pkwy", "highway", "hwy", "circle",
    "cir", "trail", "trl", "alley", "row", "mews", "gardens", "grove", "walk", "loop", "plaza", "turnpike", "bypass",
    "esplanade", "promenade", "broadway",
];

/// Ends of street names that are as often the end of another name (USPS Publication 28, appendix C1).
#[rustfmt::skip]
pub(super) const LANDSCAPE: &[&str] = &[
    "beach", "bend", "bluff", "bridge", "brook", "canyon", "cape", "causeway", "cliff", "common", "corner", "corners", "course",
    "cove", "creek", "crossing", "curve", "dale", "estate", "estates", "extension", "falls", "ferry", "field", "fields", "ford",
    "forest", "fork", "forks", "freeway", "garden", "gateway", "glen", "green", "groves", "harbor", "haven", "heights", "hill",
    "hills", "hollow", "inlet", "island", "isle", "junction", "key", "knoll", "knolls", "lake", "lakes", "landing", "lodge",
    "manor", "meadow", "meadows", "mill", "mills", "mission", "mount", "mountain", "oval", "park", "pass", "passage", "path",
    "pike", "pine", "pines", "plain", "plains", "point", "points", "port", "ports", "prairie", "ranch", "rapids", "ridge",
    "ridges", "river", "roads", "route", "run", "shore", "shores", "spring", "springs", "spur", "station", "stream", "streets",
    "summit", "track", "trafficway", "tunnel", "union", "valley", "viaduct", "view", "views", "village", "ville", "vista",
    "walks", "well", "wells",
];

/// What a French street name begins with, after the house number.
#[rustfmt::skip]
pub(super) const RUE: &[&str] = &[
    "rue", "avenue", "av", "boulevard", "bd", "place", "chemin", "allée", "allées", "impasse", "quai", "route", "cours", "square",
    "passage",
];

/// What a street name begins with that the house number follows: Spanish, Italian, Portuguese, Polish.
#[rustfmt::skip]
pub(super) const CALLE: &[&str] = &[
    "calle", "avenida", "avda", "plaza", "paseo", "camino", "carretera", "via", "viale", "piazza", "corso", "vicolo", "largo",
    "strada", "contrada", "rotonda", "rua", "travessa", "alameda", "estrada", "praça", "ladeira", "rambla", "callejón", "pasaje",
    "pasadizo", "glorieta", "ronda", "travesía", "ulica", "ul", "aleja", "al", "plac", "pl", "osiedle", "os", "c",
];

/// Ends of one-word street names that the house number follows: German, Dutch, Nordic.
#[rustfmt::skip]
pub(super) const STRASSE: &[&str] = &[
    "straße", "strasse", "str", "weg", "platz", "gasse", "allee", "damm", "straat", "laan", "gracht", "plein", "kade", "dijk",
    "singel", "steeg", "baan", "boulevard", "-ring", "-ufer", "-steig", "gatan", "gata", "vägen", "gade", "vej", "veien", "vegen", "katu",
];

/// Small words inside street names.
pub(super) const PARTICLES: &[&str] = &[
    "de", "du", "des", "la", "le", "les", "del", "di", "da", "do", "dos", "das", "della", "delle",
    "dei", "van", "der", "den", "von", "el", "los", "las", "y", "e", "et",
];

/// Small words that no English street name has in small letters.
pub(super) const SMALL: &[&str] = &[
    "to", "in", "on", "at", "for", "and", "or", "is", "are", "was", "were", "that", "from", "with",
    "by", "it", "a", "an", "people", "minutes", "hours", "days", "years", "miles",
];

/// Words that make a court one of law.
pub(super) const COURTS: &[&str] =
    &["high", "supreme", "district", "federal", "appeals", "constitutional", "circuit"];

/// Compass points beside a street name.
pub(super) const COMPASS: &[&str] =
    &["n", "s", "e", "w", "ne", "nw", "se", "sw", "north", "south", "east", "west"];

/// What a part of a house is called.
pub(super) const UNIT: &[&str] = &[
    "apt",
    "apartment",
    "suite",
    "ste",
    "unit",
    "flat",
    "floor",
    "fl",
    "room",
    "rm",
    "wohnung",
    "appt",
    "piso",
];

/// States, territories and forces abroad of the United States, in upper case (USPS Publication 28, appendix B).
#[rustfmt::skip]
pub(super) const STATES: &[&str] = &[
    "AL", "AK", "AZ", "AR", "CA", "CO", "CT", "DE", "DC", "FL", "GA", "HI", "ID", "IL", "IN", "IA", "KS", "KY", "LA", "ME", "MD",
    "MA", "MI", "MN", "MS", "MO", "MT", "NE", "NV", "NH", "NJ", "NM", "NY", "NC", "ND", "OH", "OK", "OR", "PA", "PR", "RI", "SC",
    "SD", "AA", "AE", "AP", "TN", "TX", "UT", "VT", "VA", "WA", "WV", "WI", "WY", "GU", "VI", "AS", "MP", "FM", "MH", "PW",
];

/// Postcode areas of the United Kingdom, in upper case (Royal Mail).
#[rustfmt::skip]
pub(super) const AREAS: &[&str] = &[
    "AB", "AL", "B", "BA", "BB", "BD", "BH", "BL", "BN", "BR", "BS", "BT", "CA", "CB", "CF", "CH", "CM", "CO", "CR", "CT", "CV",
    "CW", "DA", "DD", "DE", "DG", "DH", "DL", "DN", "DT", "DY", "E", "EC", "EH", "EN", "EX", "FK", "FY", "G", "GL", "GU", "GY",
    "HA", "HD", "HG", "HP", "HR", "HS", "HU", "HX", "IG", "IM", "IP", "IV", "JE", "KA", "KT", "KW", "KY", "L", "LA", "LD", "LE",
    "LL", "LN", "LS", "LU", "M", "ME", "MK", "ML", "N", "NE", "NG", "NN", "NP", "NR", "NW", "OL", "OX", "PA", "PE", "PH", "PL",
    "PO", "PR", "RG", "RH", "RM", "S", "SA", "SE", "SG", "SK", "SL", "SM", "SN", "SO", "SP", "SR", "SS", "ST", "SW", "SY", "TA",
    "TD", "TF", "TN", "TQ", "TR", "TS", "TW", "UB", "W", "WA", "WC", "WD", "WF", "WN", "WR", "WS", "WV", "YO", "ZE",
];

/// What a postcode is called.
pub(super) const ZIP: &[&str] =
    &["zip", "zipcode", "postcode", "postal", "plz", "postleitzahl", "cap", "cep"];

/// Whether a word is in a list, in any case and whatever full stop ends it.
pub(super) fn among(word: &str, list: &[&str]) -> bool {
    let word = word.trim_end_matches('.');
    // Most of what is asked about is another number.
    if word.as_bytes().first().is_none_or(u8::is_ascii_digit) {
        return false;
    }
    if word.is_ascii() {
        return list.iter().any(|w| w.eq_ignore_ascii_case(word));
    }
    let lower = word.to_lowercase();
    list.contains(&lower.as_str())
}
