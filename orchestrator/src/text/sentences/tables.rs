// SPDX-License-Identifier: AGPL-3.0-or-later
//! Words that decide whether a full stop ends a sentence: English, German, French, Spanish,
//! Italian, Portuguese, Dutch, Polish. All lower case, each table sorted for binary search.
//!
//! One set of tables for all languages: the language of a text is rarely told, and few
//! abbreviations of one language end sentences as words of another; those few stand in [`MAY_END`].

/// Abbreviations after which a sentence does not end: titles, references, `e.g.`.
#[rustfmt::skip]
pub(super) const NEVER_END: &[&str] = &[
    "abb", "abzgl", "approx", "aprox", "av", "avda", "avv", "bijv", "bzgl", "bzw", "ca", "capt",
    "cf", "cmdr", "col", "dept", "dhr", "dipl", "dott", "dott.ssa", "dr", "dra", "drs", "e.g", "eg",
    "ej", "eng", "eq", "eqs", "esp", "evt", "evtl", "exkl", "exmo", "fig", "figs", "frl", "geb",
    "gen", "ggf", "godz", "gov", "gral", "hon", "hr", "hrsg", "i.e", "ie", "incl", "ing", "inkl",
    "inż", "ks", "lic", "lt", "messrs", "mevr", "mgr", "mlle", "mme", "mmes", "mr", "mrs", "ms",
    "mw", "mx", "np", "núm", "pag", "pagg", "pres", "prof", "prof.ssa", "profa", "pág", "págs",
    "ref", "refs", "rep", "resp", "rev", "sen", "sgt", "sig", "sig.na", "sig.ra", "sigg", "sog",
    "sra", "srta", "tj", "tzn", "tzw", "univ", "vgl", "viz", "vs", "zob", "zzgl", "éd", "św",
];

/// Abbreviations that also end sentences, or are words of another language: the sentence ends
/// when a word that opens sentences, such as `The`, follows.
#[rustfmt::skip]
pub(super) const MAY_END: &[&str] = &[
    "al", "ave", "bd", "blvd", "bros", "cit", "co", "corp", "cía", "ee", "ex", "fr", "ft", "gr",
    "hab", "im", "inc", "jh", "jhd", "jr", "jur", "ks", "lek", "llc", "ltd", "med", "mio",
    "mld", "mln", "mrd", "mt", "os", "ph.d", "phil", "pl", "plc", "por", "rd", "sr", "st", "sta",
    "std", "ste", "sto", "str", "tel", "tys", "ud", "uds", "ul", "usf", "uu", "vd", "vds", "ww",
];

/// Abbreviations only before a number: `No. 5`, `Jan. 2024`, but `He said no. Then`.
#[rustfmt::skip]
pub(super) const BEFORE_NUMBER: &[&str] = &[
    "abs", "apr", "art", "arts", "aufl", "aug", "blz", "cap", "ch", "chap", "dec", "dez", "est",
    "feb", "jan", "jul", "jun", "kap", "mar", "max", "min", "mind", "no", "nos", "nov", "nr", "nrs",
    "oct", "ok", "okt", "p", "pp", "pt", "s", "sec", "sep", "sept", "tab", "vol", "vols", "ziff",
];

/// What closes a list; the sentence ends unless a lower-case word follows.
pub(super) const CLOSES_LIST: &[&str] = &["ecc", "enz", "etc", "etcétera", "itd", "itp", "usw"];

/// Months as German, Dutch and the languages of the north write them after an ordinal: `3. Oktober`.
#[rustfmt::skip]
pub(super) const MONTHS: &[&str] = &[
    "april", "august", "dezember", "februar", "januar", "juli", "juni", "jänner", "mai", "märz",
    "november", "oktober", "september",
];

/// Words before a German ordinal: `im 19. Jahrhundert`.
#[rustfmt::skip]
pub(super) const BEFORE_ORDINAL: &[&str] = &[
    "ab", "am", "beim", "bis", "das", "dem", "den", "der", "des", "die", "ihr", "ihrem", "im",
    "jeden", "jeder", "mein", "sein", "seinem", "seinen", "seit", "vom", "zum", "zur",
];

/// Frequent words of German alone, to tell a German text by.
#[rustfmt::skip]
pub(super) const GERMAN: &[&str] = &[
    "am", "auch", "auf", "das", "dem", "den", "der", "des", "die", "ein", "eine", "einen", "es",
    "für", "ich", "im", "ist", "mit", "nicht", "sich", "sie", "und", "von", "war", "wir", "wird",
    "wurde", "zu", "zum", "zur", "über",
];

/// Articles and prepositions that are parts of names as well (`C. de Boor`, `J. Le Carré`): after an
/// initial they open no sentence.
#[rustfmt::skip]
pub(super) const PARTICLES: &[&str] = &[
    "al", "bin", "da", "das", "de", "del", "della", "den", "der", "des", "di", "do", "dos", "du",
    "e", "el", "i", "ibn", "il", "la", "las", "le", "lo", "los", "o", "os", "ten", "ter", "van",
    "von", "zu",
];
