// SPDX-License-Identifier: AGPL-3.0-or-later
//! Telephone numbers: international (ITU-T E.164), North American, national forms, and weak forms beside a word.

mod country;
mod edges;
mod national;
#[cfg(test)]
mod tests;

use country::country;
use edges::{begins_alone, ends_alone, extension_end, is_linked};
use national::is_british;

use crate::detector::{DetectContext, Detector, Hold, Signal};
use crate::error::GuardError;
use crate::finding::{Finding, PiiType};
use crate::text::context::{Context, Cues, words_before};
use crate::text::numbers::{Gap, Group, gap};
use crate::text::{char_after, char_before};

/// The PII type this detector reports.
pub const PHONE: PiiType = PiiType::new("phone");

/// Finds telephone numbers, an extension included.
///
/// The score adds a form, an extension (0.1) and a word nearby ("phone", "call": 0.45; "order", "id": −0.35):
///
/// | form | example | score |
/// |---|---|---|
/// | `+`, country code and a length that country has | `+44 20 7946 0958` | 0.85 |
/// | `+`, country code, another length | `+44 20 7946` | 0.5 |
/// | `00` or `011` instead of `+`, in groups | `0044 20 7946 0958` | 0.75 |
/// | North American with parentheses | `(415) 555-0100` | 0.85 |
/// | North American in groups | `415-555-0100` | 0.8 |
/// | the same, with an area or exchange code that is not given out | `123-123-4567` | 0.5 |
/// | five pairs from 0 (France) | `01 23 45 67 89` | 0.75 |
/// | from 0, in the groups of the British plan | `0161 496 0753` | 0.75 |
/// | from 0, in other groups | `0655 210 83 64` | 0.6 |
/// | ten bare digits, North American | `4155550100` | 0.4 |
/// | a link to a number | `wa.me/14155550100` | 0.85 |
/// | any other 7 to 15 digits | `555-0100` | 0.3 |
/// | three pairs, or three and three digits with a dash | `33 93 31` | 0.25 |
///
/// So a weak form needs a word nearby to reach the default threshold of 0.7. Ten digits and national forms reach it beside
/// "number" too (0.15), or "my number", "new number" (0.45), where nothing else is nearer.
///
/// Not numbers, whatever stands nearby: dates and times, year ranges, thousands and decimals, IPv4 addresses, ISBNs, and
/// whatever is part of a longer identifier (a GUID, a log id, a version).
pub struct PhoneDetector;

#[rustfmt::skip]
const CUES: Cues = Cues {
    positive: &[
        "phone", "phones", "telephone", "tel", "telefon", "teléfono", "telefono", "téléphone", "telefone", "mobile",
        "mobil", "móvil", "celular", "cell", "cellphone", "handy", "call", "calls", "calling", "called", "dial",
        "dialing", "ring", "fax", "telefax", "sms", "whatsapp", "hotline", "helpline", "pager", "voicemail", "landline",
        "answering", "office", "ph", "anrufen", "rufnummer", "appelez", "llame", "llámame", "rappeler", "телефон",
        "тел", "contact", "desk", "message", "messages", "texted", "texting",
        "telefonnummer", "handynummer", "mobilnummer", "festnetz", "erreichbar", "erreichen", "portable", "joindre", "appeler",
        "llamar", "cellulare", "chiamare", "chiamami", "telemóvel", "ligar", "ligue", "telefoonnummer", "bellen", "mobiel",
        "telefonu", "komórka", "zadzwoń", "номер",
    ],
    negative: &[
        "order", "invoice", "id", "ids", "ref", "reference", "account", "acct", "case", "ticket", "isbn", "issn",
        "version", "ver", "part", "serial", "sku", "tracking", "date", "epoch", "timestamp", "pid", "uid", "uuid",
        "guid", "port", "build", "commit", "hash", "zip", "iban", "card", "ssn", "price", "cost", "total", "amount",
        "year", "years", "lat", "lon", "latitude", "longitude", "doi", "pmid", "arxiv", "model", "patent", "routing",
        "log", "block", "barcode", "ean", "upc", "rfc", "license", "licence", "passport", "population",
        "policy", "claim", "batch", "lot", "sort", "nhs", "tax", "vat", "member", "membership", "customer", "bestellung",
        "bestellnummer", "rechnung", "rechnungsnummer", "kundennummer", "commande", "facture", "pedido", "factura", "fattura",
        "ordine", "artikel", "article", "zamówienie", "faktura", "row", "rows", "line", "lines",
    ],
};

/// Words for a number of any kind, and for reaching somebody; what stands before them says whose it is.
#[rustfmt::skip]
const NUMBER: &[&str] = &[
    "number", "numbers", "no", "num", "nummer", "nr", "numéro", "numero", "número", "numer", "text", "reach", "reached", "reachable",
];
#[rustfmt::skip]
const WHOSE: &[&str] = &[
    "my", "his", "her", "their", "our", "new", "home", "work", "personal", "private", "meine", "mein", "seine", "ihre", "neue",
    "private", "mon", "son", "nouveau", "mi", "su", "nuevo", "mio", "suo", "nuovo", "meu", "novo", "mijn", "nieuwe", "mój", "nowy",
];
/// Words between those and the number.
#[rustfmt::skip]
const BETWEEN: &[&str] = &[
    "is", "was", "the", "at", "on", "me", "us", "him", "ist", "lautet", "unter", "est", "le", "au", "es", "el", "al", "è", "il", "é", "o",
    "to", "jest", "now",
];

/// A number found in a run: its groups, what precedes the first of them, and its score before context.
struct Match {
    last: usize,
    start: usize,
    base: f32,
    rule: &'static str,
}

impl Detector for PhoneDetector {
    fn name(&self) -> &'static str {
        "phone"
    }

    fn signal(&self) -> Signal {
        Signal::Pii
    }

    fn pii_types(&self) -> &'static [PiiType] {
        &[PHONE]
    }

    fn hold(&self) -> Hold {
        Hold::NUMBER
    }

    fn detect(
        &self,
        text: &str,
        ctx: &DetectContext<'_>,
        out: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        let mut any = false;
        ctx.numbers().walk(|run, first| {
            any &= first > 0;
            if let Some(after) = date(text, run, first) {
                any = true;
                return Some(after);
            }
            if let Some(found) = strong_from(text, run, first) {
                any = true;
                self.push(text, run, &found, out);
                return Some(found.last + 1);
            }
            if !any
                && first + 1 == run.len()
                && let Some(found) = weak(text, run)
            {
                self.push(text, run, &found, out);
            }
            None
        });
        Ok(())
    }
}

impl PhoneDetector {
    fn push(&self, text: &str, run: &[Group], found: &Match, out: &mut Vec<Finding>) {
        let mut end = run[found.last].end;
        let mut score = found.base;
        if let Some(extension) = extension_end(text, end) {
            end = extension;
            score += 0.1;
        }
        let span = found.start..end;
        score += match CUES.around(text, &span) {
            Context::For => 0.45,
            Context::Against => -0.35,
            Context::Silent if found.base >= NUMBERED => called_number(text, found.start),
            Context::Silent => 0.0,
        };
        // A heuristic is never certain.
        let score = score.min(0.95);
        out.push(Finding::pii(PHONE, span, score, self.name(), found.rule));
    }
}

/// Forms of a lower score say too little for a number that is called nothing but that.
const NUMBERED: f32 = 0.4;

/// What "number" adds that stands right before: "new number: ...", "you can reach me on ...".
fn called_number(text: &str, start: usize) -> f32 {
    let among = |word: &str, list: &[&str]| {
        list.iter().any(|w| w.chars().eq(word.chars().flat_map(char::to_lowercase)))
    };
    let mut before = words_before(text, start).skip_while(|word| among(word, BETWEEN));
    if !before.next().is_some_and(|word| among(word, NUMBER)) {
        return 0.0;
    }
    if before.next().is_some_and(|word| among(word, WHOSE)) { 0.45 } else { 0.15 }
}

/// A number that its own form makes likely, beginning with group `first`.
fn strong_from(text: &str, run: &[Group], first: usize) -> Option<Match> {
    if first > 0 && !parts_numbers(text, run, first) {
        return None;
    }
    international(text, run, first)
        .or_else(|| north_american(text, run, first))
        .or_else(|| national(text, run, first))
        .filter(|m| begins_alone(text, m.start) && ends_alone(text, run, m.last))
}

/// Whether one number may end and another begin before group `i`.
fn parts_numbers(text: &str, run: &[Group], i: usize) -> bool {
    matches!(gap(text, run[i - 1], run[i]), Gap::Space | Gap::Slash | Gap::Mixed)
}

/// `+CC ...`, `00CC ...`, `011 CC ...`.
fn international(text: &str, run: &[Group], first: usize) -> Option<Match> {
    let start = run[first].start;
    let digits = run[first].digits(text);
    let (start, skip, base) = if text[..start].ends_with('+') {
        (start - 1, 0, 0.85)
    } else if text[..start].ends_with("+(") {
        (start - 2, 0, 0.85)
    } else if digits.starts_with("011") {
        (start, 3, 0.75)
    } else if digits.starts_with("00") {
        (start, 2, 0.75)
    } else {
        return None;
    };
    // "(+44) 20 ..."
    let start = match text[..start].strip_suffix('(') {
        Some(before)
            if run
                .get(first + 1)
                .is_some_and(|next| text[run[first].end..next.start].starts_with(')')) =>
        {
            before.len()
        }
        _ => start,
    };
    let mut number = [0u8; 17];
    let mut len = 0;
    let mut trunk = 0;
    let mut best = None;
    let mut any = None;
    for (last, group) in run.iter().enumerate().skip(first) {
        let digits = &group.digits(text)[if last == first { skip } else { 0 }..];
        // "+44 (0)20": the trunk zero is written but not dialled.
        if last > first && digits == "0" && text[..group.start].ends_with('(') {
            trunk += 1;
            continue;
        }
        if len + digits.len() > 15 || last - first > 9 {
            break;
        }
        number[len..len + digits.len()].copy_from_slice(digits.as_bytes());
        len += digits.len();
        let Some((code, national)) = country(&number[..len]) else {
            if len >= 3 {
                break;
            }
            continue;
        };
        let rest = len - code;
        if national.contains(&rest) {
            best = Some(last);
        } else if len >= 7 {
            any = Some(last);
        }
        if rest >= national.end {
            break;
        }
    }
    if trunk > 1 {
        return None;
    }
    let grouped = best.or(any)? > first;
    match (best, any) {
        (Some(last), _) => Some(Match {
            last,
            start,
            base: if skip > 0 && !grouped { 0.5 } else { base },
            rule: "international",
        }),
        (None, Some(last)) if skip == 0 => {
            Some(Match { last, start, base: 0.5, rule: "international_odd_length" })
        }
        _ => None,
    }
}

/// `(AAA) EEE-NNNN`, `AAA-EEE-NNNN`, with or without a leading 1.
fn north_american(text: &str, run: &[Group], first: usize) -> Option<Match> {
    let one = usize::from(run[first].digits(text) == "1" && run.len() > first + 3);
    let [area, exchange, line] = *run.get(first + one..first + one + 3)? else {
        return None;
    };
    if (area.len(), exchange.len(), line.len()) != (3, 3, 4) {
        return None;
    }
    let last = first + one + 2;
    let parenthesised = text[..area.start].ends_with('(') && text[area.end..].starts_with(')');
    let between = [gap(text, area, exchange), gap(text, exchange, line)];
    if between[1] == Gap::Mixed && text[exchange.end..line.start].trim() != "-" {
        return None;
    }
    let given_out =
        [area, exchange].iter().all(|g| matches!(text.as_bytes()[g.start], b'2'..=b'9'));
    // "555-123-4567" is how people make a number up: an exchange from 1 still reads as a telephone number.
    let area_given_out = matches!(text.as_bytes()[area.start], b'2'..=b'9');
    let base = match (parenthesised, given_out, area_given_out) {
        (true, _, true) => 0.85,
        (_, true, _) => 0.8,
        (_, _, true) => 0.75,
        _ => 0.5,
    };
    let start = if parenthesised && one == 0 { area.start - 1 } else { run[first].start };
    Some(Match { last, start, base, rule: "north_american" })
}

/// A number from 0 in groups, as most countries outside North America write theirs.
fn national(text: &str, run: &[Group], first: usize) -> Option<Match> {
    let head = run[first].digits(text);
    if !head.starts_with('0') || head.starts_with("00") || head.len() > 6 {
        return None;
    }
    let parenthesised =
        text[..run[first].start].ends_with('(') && text[run[first].end..].starts_with(')');
    let mut digits = 0;
    let mut pairs = true;
    let mut last = None;
    for (i, group) in run.iter().enumerate().skip(first) {
        if i > first
            && matches!(gap(text, run[i - 1], *group), Gap::Mixed)
            && !(parenthesised && i == first + 1)
        {
            break;
        }
        if i - first > 5 || digits + group.len() > 12 || group.len() > 8 {
            break;
        }
        digits += group.len();
        pairs &= group.len() == 2;
        if i > first && (9..=12).contains(&digits) {
            last = Some((i, pairs && digits == 10));
        }
        if pairs && digits == 10 {
            break;
        }
    }
    let (last, french) = last?;
    let start = run[first].start - usize::from(parenthesised);
    let planned = french || is_british(text, &run[first..=last]);
    Some(Match { last, start, base: if planned { 0.75 } else { 0.6 }, rule: "national" })
}

/// The whole run as a number of no certain form.
fn weak(text: &str, run: &[Group]) -> Option<Match> {
    let digits: usize = run.iter().map(|g| g.len()).take(16).sum();
    let last = run.len() - 1;
    let start = run[0].start;
    let linked = is_linked(&text[..start]);
    if run.len() > 6 || !(7..=15).contains(&digits) && !is_short(text, run) {
        return None;
    }
    if !begins_alone(text, start) || !ends_alone(text, run, last) || is_quantity(text, run) {
        return None;
    }
    let bare = run[0].digits(text);
    let north_american = run.len() == 1 && {
        let ten = bare.strip_prefix('1').filter(|_| bare.len() == 11).unwrap_or(bare);
        let b = ten.as_bytes();
        b.len() == 10 && matches!((b[0], b[3]), (b'2'..=b'9', b'2'..=b'9'))
    };
    let parenthesised =
        text[..start].ends_with('(') && text[run[0].end..].starts_with(')') && run.len() > 1;
    let start = start - usize::from(parenthesised);
    let (base, rule) = match (linked, north_american, digits) {
        (true, _, 7..) => (0.85, "link"),
        (_, true, _) => (0.4, "bare"),
        (_, _, 7..) => (0.3, "digits"),
        _ => (0.25, "short"),
    };
    Some(Match { last, start, base, rule })
}

/// Six digits as local numbers are written: three pairs that are no date, or three and three with a dash.
fn is_short(text: &str, run: &[Group]) -> bool {
    let between = |i: usize| gap(text, run[i], run[i + 1]);
    match run {
        [a, b, c] if [a, b, c].iter().all(|g| g.len() == 2) => {
            between(0) == between(1)
                && matches!(between(0), Gap::Space | Gap::Dash)
                && (between(0) == Gap::Space
                    || a.digits(text) > "31"
                    || c.digits(text) > "31" && b.digits(text) > "12")
        }
        [a, b] => a.len() == 3 && b.len() == 3 && between(0) == Gap::Dash,
        _ => false,
    }
}

/// A run that counts or measures something: years, thousands, decimals, an IPv4 address, an ISBN, money.
fn is_quantity(text: &str, run: &[Group]) -> bool {
    let start = run[0].start;
    let end = run[run.len() - 1].end;
    let money =
        |c: Option<char>| c.is_some_and(|c| matches!(c, '$' | '€' | '£' | '¥' | '₹' | '%' | '°'));
    if money(char_before(text, start)) || money(char_after(text, end)) {
        return true;
    }
    // "1.234.567,89" and "1,234567"
    if text[end..].starts_with(',') && char_after(text, end + 1).is_some_and(|c| c.is_ascii_digit())
        || text[..start].ends_with(',')
            && char_before(text, start - 1).is_some_and(|c| c.is_ascii_digit())
    {
        return true;
    }
    let lens: Vec<usize> = run.iter().map(|g| g.len()).collect();
    let gaps: Vec<Gap> = run.windows(2).map(|w| gap(text, w[0], w[1])).collect();
    let dotted = !gaps.is_empty() && gaps.iter().all(|g| *g == Gap::Dot);
    let year = |g: &Group| matches!(g.digits(text), d if d.len() == 4 && (d.starts_with("19") || d.starts_with("20")));
    let decimal = lens.len() == 2 && dotted;
    let thousands = lens.len() > 1
        && (1..=3).contains(&lens[0])
        && lens[1..].iter().all(|n| *n == 3)
        && gaps.iter().all(|g| matches!(g, Gap::Dot | Gap::Space))
        && (lens[0] == 1 || dotted);
    let ipv4 = dotted && lens.len() == 4 && lens.iter().all(|n| *n <= 3);
    // "1278-1318": a life or a reign, as far back as people tell of.
    let span = lens == [4, 4]
        && gaps[0] == Gap::Dash
        && run[0].digits(text) >= "1000"
        && run[0].digits(text) < run[1].digits(text)
        && run[1].digits(text) < "2100";
    let years = span || lens.len() == 2 && run.iter().all(year);
    // An ISBN-13 in groups: prefix 978 or 979 and thirteen digits.
    let isbn = matches!(run[0].digits(text).get(..3), Some("978" | "979"))
        && lens.iter().sum::<usize>() == 13;
    decimal || thousands || ipv4 || years || isbn
}

/// A date in groups (and the hour that may follow it) beginning with group `first`: the group after it.
fn date(text: &str, run: &[Group], first: usize) -> Option<usize> {
    let [a, b, c] = *run.get(first..first + 3)? else {
        return None;
    };
    let between = gap(text, a, b);
    if between == Gap::Mixed || gap(text, b, c) != between {
        return None;
    }
    let value = |g: Group| {
        (g.len() <= 4)
            .then(|| g.digits(text).bytes().fold(0u32, |n, d| n * 10 + u32::from(d - b'0')))
    };
    let (x, y, z) = (value(a)?, value(b)?, value(c)?);
    let year = |g: Group, v: u32| g.len() == 4 && (1000..=2999).contains(&v);
    let day_month =
        |p: u32, q: u32| (1..=31).contains(&p) && (1..=31).contains(&q) && (p <= 12 || q <= 12);
    let short = |g: Group| g.len() <= 2;
    let found = year(a, x) && short(b) && short(c) && day_month(y, z)
        || short(a) && short(b) && year(c, z) && day_month(x, y);
    if !found {
        return None;
    }
    let mut after = first + 3;
    // "2021-03-04 12" of "2021-03-04 12:30"
    while after < run.len()
        && run[after].len() <= 2
        && gap(text, run[after - 1], run[after]) != Gap::Dash
    {
        after += 1;
    }
    Some(after)
}
