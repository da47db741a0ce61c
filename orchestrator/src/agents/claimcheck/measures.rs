// SPDX-License-Identifier: AGPL-3.0-or-later
//! Quantities as intervals in base units, so that two of them can be compared: `5 km` and `about
//! 5000 m`, `half` and `50%`, `between 3 and 5` and `4`.

use std::ops::Range;

use crate::text::{Bound, Quantity, QuantityKind, Word, is_stop_word, quantities, stem, words};

/// What is measured. Values of one kind compare; those of two never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Things, by the nouns after the number.
    Count,
    Ordinal,
    /// In percent; fractions too.
    Percent,
    /// By currency, which is never converted.
    Money(&'static str),
    /// In metres.
    Length,
    /// In kilograms.
    Mass,
    /// In degrees Celsius.
    Temperature,
    /// In metres per second.
    Speed,
    /// In seconds.
    Duration,
}

impl Kind {
    /// Whether values in other units are converted.
    pub(super) fn is_measured(self) -> bool {
        matches!(self, Self::Length | Self::Mass | Self::Temperature | Self::Speed | Self::Duration)
    }
}

/// A quantity of a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measure {
    pub(super) kind: Kind,
    /// What the text allows, in the base unit of the kind; open sides are infinite.
    pub(super) low: f64,
    pub(super) high: f64,
    /// The unit as the table names it, for measured kinds.
    pub(super) unit: &'static str,
    /// Folded content words after the number, for counts and ranks.
    pub(super) nouns: Vec<String>,
    /// Bytes of the number with its unit.
    pub(super) span: Range<usize>,
}

/// Least relative gap between values in different units that is no rounding: `5 miles` are `8 km`.
const CONVERTED: f64 = 0.02;

impl Measure {
    /// Whether different values of these two contradict each other.
    pub(super) fn comparable(&self, other: &Self) -> bool {
        let within = |a: &Self, b: &Self| a.nouns.iter().all(|noun| b.nouns.contains(noun));
        match self.kind {
            Kind::Count | Kind::Ordinal => {
                self.kind == other.kind
                    && self.nouns.is_empty() == other.nouns.is_empty()
                    && (within(self, other) || within(other, self))
            }
            kind => kind == other.kind,
        }
    }

    /// Whether some value is allowed by both.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let size = |m: &Self| {
            let finite = [m.low, m.high].into_iter().filter(|v| v.is_finite());
            finite.fold(0.0_f64, |a, v| a.max(v.abs()))
        };
        let scale = size(self).max(size(other));
        let slack = if self.unit == other.unit { 1e-9 } else { CONVERTED };
        // Degrees have no natural zero: half a degree, whatever the value.
        let slack = match self.kind {
            Kind::Temperature if self.unit != other.unit => 0.6,
            _ => slack * scale.max(1e-9),
        };
        self.low <= other.high + slack && other.low <= self.high + slack
    }
}

struct Unit {
    names: &'static [&'static str],
    kind: Kind,
    scale: f64,
    offset: f64,
}

const fn unit(names: &'static [&'static str], kind: Kind, scale: f64) -> Unit {
    Unit { names, kind, scale, offset: 0.0 }
}

/// The first name stands for the unit. Names that are words of their own (`in`, `t`, `ton`) or
/// differ between countries (`gallon`) are missing.
#[rustfmt::skip]
static UNITS: &[Unit] = &[
    unit(&["mm", "millimetre", "millimetres", "millimeter", "millimeters"], Kind::Length, 1e-3),
    unit(&["cm", "centimetre", "centimetres", "centimeter", "centimeters"], Kind::Length, 1e-2),
    unit(&["m", "metre", "metres", "meter", "meters"], Kind::Length, 1.0),
    unit(&["km", "kilometre", "kilometres", "kilometer", "kilometers"], Kind::Length, 1e3),
    unit(&["mi", "mile", "miles"], Kind::Length, 1609.344),
    unit(&["yd", "yard", "yards"], Kind::Length, 0.9144),
    unit(&["ft", "foot", "feet"], Kind::Length, 0.3048),
    unit(&["inch", "inches"], Kind::Length, 0.0254),
    unit(&["mg", "milligram", "milligrams"], Kind::Mass, 1e-6),
    unit(&["g", "gram", "grams", "gramme", "grammes"], Kind::Mass, 1e-3),
    unit(&["kg", "kilogram", "kilograms", "kilo", "kilos"], Kind::Mass, 1.0),
    unit(&["tonne", "tonnes"], Kind::Mass, 1e3),
    unit(&["lb", "lbs", "pound", "pounds"], Kind::Mass, 0.453_592_37),
    unit(&["oz", "ounce", "ounces"], Kind::Mass, 0.028_349_523),
    unit(&["celsius", "centigrade", "\u{b0}c", "\u{2103}"], Kind::Temperature, 1.0),
    Unit { names: &["fahrenheit", "\u{b0}f", "\u{2109}"], kind: Kind::Temperature, scale: 5.0 / 9.0, offset: -160.0 / 9.0 },
    Unit { names: &["kelvin", "kelvins"], kind: Kind::Temperature, scale: 1.0, offset: -273.15 },
    unit(&["km/h", "kmh", "kph", "kilometres per hour", "kilometers per hour"], Kind::Speed, 1.0 / 3.6),
    unit(&["mph", "miles per hour", "mi/h"], Kind::Speed, 0.447_04),
    unit(&["m/s", "metres per second", "meters per second"], Kind::Speed, 1.0),
    unit(&["ms", "millisecond", "milliseconds"], Kind::Duration, 1e-3),
    unit(&["second", "seconds", "sec"], Kind::Duration, 1.0),
    unit(&["minute", "minutes", "min"], Kind::Duration, 60.0),
    unit(&["hour", "hours", "h", "hr", "hrs"], Kind::Duration, 3600.0),
    unit(&["day", "days"], Kind::Duration, 86400.0),
    unit(&["week", "weeks"], Kind::Duration, 604_800.0),
];

fn unit_named(name: &str) -> Option<&'static Unit> {
    UNITS.iter().find(|unit| unit.names.contains(&name))
}

/// What makes another measure of a unit.
const OTHER_MEASURE: [char; 4] = ['/', '^', '\u{b2}', '\u{b3}'];

/// The unit that stands at the start of `rest`, and the bytes to its end.
fn unit_at(rest: &str) -> Option<(&'static Unit, usize)> {
    let spaced = rest.trim_start_matches([' ', '\u{a0}', '\u{202f}', '-', '\u{2011}']);
    let skipped = rest.len() - spaced.len();
    if skipped > 4 {
        return None;
    }
    let lower: String = spaced.chars().take(32).flat_map(char::to_lowercase).collect();
    let letters = |s: &str| s.find(|c: char| !c.is_alphabetic()).unwrap_or(s.len());
    // Longest first: `miles per hour`, `km/h`, then one word.
    for unit in UNITS {
        for name in
            unit.names.iter().filter(|n| n.contains([' ', '/', '\u{b0}', '\u{2103}', '\u{2109}']))
        {
            let ends = lower
                .strip_prefix(name)
                .is_some_and(|after| letters(after) == 0 && !after.starts_with(OTHER_MEASURE));
            // Lower-casing keeps the length of these names: their letters are ASCII, and signs have no case.
            if ends && spaced.is_char_boundary(name.len()) {
                return Some((unit, skipped + name.len()));
            }
        }
    }
    let (degrees, word) = ["degrees ", "degree ", "\u{b0} "]
        .iter()
        .find_map(|d| lower.strip_prefix(d).map(|after| (d.len(), after)))
        .unwrap_or((0, lower.as_str()));
    let name = &word[..letters(word)];
    let after = &word[name.len()..];
    // `km²` and `g/l` are other measures.
    if after.starts_with(OTHER_MEASURE) || after.starts_with(" per ") {
        return None;
    }
    let name = match (degrees > 0, name) {
        (true, "c") => "celsius",
        (true, "f") => "fahrenheit",
        (_, name) => name,
    };
    let end = skipped + degrees + letters(word);
    unit_named(name).filter(|_| rest.is_char_boundary(end)).map(|unit| (unit, end))
}

/// The quantities of a text but calendar years, in order.
pub(super) fn measures(text: &str) -> Vec<Measure> {
    let all: Vec<Word<'_>> = words(text).collect();
    let mut found: Vec<Measure> = fractions(text, &all);
    let mut quantities: Vec<Quantity> = quantities(text);
    quantities.extend(bare_multipliers(text, &all));
    quantities.sort_by_key(|q| q.span.start);
    let free = |q: &Quantity| !found.iter().any(|f: &Measure| f.span.contains(&q.span.start));
    let quantities = joined(text, quantities.into_iter().filter(free).collect());
    let mut at = 0;
    while let Some(first) = quantities.get(at) {
        at += 1;
        if first.kind == QuantityKind::Year {
            continue;
        }
        let mut measure = measure(text, first);
        if let Some(last) = quantities.get(at).filter(|last| is_range(text, first, last)) {
            at += 1;
            let end = self::measure(text, last);
            // The start of a range has the unit of its end: `3 to 5 km`.
            let mut start = first.clone();
            start.kind.clone_from(&last.kind);
            let start = in_unit_of(&start, &end);
            measure = Measure { low: start, span: first.span.start..end.span.end, ..end };
        }
        found.push(measure);
    }
    found.sort_by_key(|m| m.span.start);
    found
}

fn measure(text: &str, q: &Quantity) -> Measure {
    let number = &text[q.span.clone()];
    // `$5m`: the reader of numbers takes a small `m` for no multiplier.
    let times = match q.kind {
        QuantityKind::Money(_) if number.ends_with('m') => 1e6,
        _ => 1.0,
    };
    let value = q.value * times;
    let rounded = if q.rounding < 0.5 || q.rounding >= 5.0 { q.rounding * times } else { 0.0 };
    let slack = rounded.min(value.abs() / 10.0);
    let (low, high) = match q.bound {
        Bound::Exact => (value - slack, value + slack),
        Bound::About => (value - value.abs() / 10.0, value + value.abs() / 10.0),
        Bound::AtLeast => (value - slack, f64::INFINITY),
        Bound::AtMost => (f64::NEG_INFINITY, value + slack),
    };
    let mut measure = Measure {
        kind: Kind::Count,
        low,
        high,
        unit: "",
        nouns: q.units.clone(),
        span: q.span.clone(),
    };
    measure.kind = match q.kind {
        QuantityKind::Percent => Kind::Percent,
        QuantityKind::Money(currency) => Kind::Money(currency),
        QuantityKind::Ordinal => Kind::Ordinal,
        QuantityKind::Count | QuantityKind::Year => Kind::Count,
    };
    if q.kind == QuantityKind::Count {
        // A unit may stick to the number (`5km`) or follow it.
        let stuck = number.rfind(|c: char| !c.is_alphabetic()).map_or("", |at| {
            let next = number[at..].chars().next().map_or(0, char::len_utf8);
            &number[at + next..]
        });
        let digits = number.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        let own = (digits && !stuck.is_empty() && !number.contains(char::is_whitespace))
            .then(|| unit_named(&stuck.to_lowercase()))
            .flatten();
        let unit = match own {
            // `5km/h` and `5m2` are told by what follows.
            Some(_) => unit_at(&text[q.span.end - stuck.len()..])
                .map(|(unit, end)| (unit, q.span.end - stuck.len() + end)),
            None => unit_at(&text[q.span.end..]).map(|(unit, end)| (unit, q.span.end + end)),
        };
        if let Some((unit, end)) = unit {
            measure.kind = unit.kind;
            measure.unit = unit.names[0];
            measure.low = low * unit.scale + unit.offset;
            measure.high = high * unit.scale + unit.offset;
            measure.nouns.clear();
            measure.span.end = end.max(q.span.end);
        }
    }
    measure
}

/// The value of a range's start in the base unit of its end.
fn in_unit_of(q: &Quantity, end: &Measure) -> f64 {
    let unit = UNITS.iter().find(|unit| unit.names[0] == end.unit);
    unit.map_or(q.value, |unit| q.value * unit.scale + unit.offset)
}

/// Whether two neighbouring quantities are one range: `3 to 5`, `3–5`, `between 3 and 5`.
fn is_range(text: &str, first: &Quantity, last: &Quantity) -> bool {
    let Some(gap) = text.get(first.span.end..last.span.start) else { return false };
    // `5 km to 10 km` has its unit twice.
    let joint = gap.split_whitespace().last().unwrap_or(gap);
    let between = text[..first.span.start].trim_end().to_lowercase().ends_with("between");
    let joins = match joint {
        "-" | "\u{2013}" | "\u{2014}" | "to" => true,
        "and" => between,
        _ => false,
    };
    let near = gap.split_whitespace().count() <= 2;
    joins
        && near
        && first.value < last.value
        && last.kind != QuantityKind::Year
        && (first.units.is_empty() || first.units == last.units)
}

/// `two thousand five hundred` and `one hundred and twenty`, which are read as two, as one.
fn joined(text: &str, list: Vec<Quantity>) -> Vec<Quantity> {
    let mut out: Vec<Quantity> = Vec::with_capacity(list.len());
    for q in list {
        if let Some(last) = out.last_mut() {
            let gap = text.get(last.span.end..q.span.start).unwrap_or(".");
            let spelled = |q: &Quantity| text[q.span.clone()].bytes().all(|b| !b.is_ascii_digit());
            let room = last.value >= 100.0 && last.value % 100.0 == 0.0 && q.value < last.value;
            let tail = if last.value % 1000.0 == 0.0 { 1000.0 } else { 100.0 };
            if matches!(gap.trim(), "" | "and" | "-")
                && room
                && q.value < tail
                && q.kind != QuantityKind::Ordinal
                && spelled(last)
                && spelled(&q)
            {
                last.value += q.value;
                last.kind = q.kind;
                last.units = q.units;
                last.rounding = q.rounding;
                last.bound = q.bound;
                last.span.end = q.span.end;
                continue;
            }
        }
        out.push(q);
    }
    out
}

/// `a hundred`, `a dozen`, `one million`, which the reader of numbers takes for no number.
fn bare_multipliers(text: &str, all: &[Word<'_>]) -> Vec<Quantity> {
    const VALUES: &[(&str, f64)] =
        &[("dozen", 12.0), ("hundred", 1e2), ("thousand", 1e3), ("million", 1e6), ("billion", 1e9)];
    let mut found = Vec::new();
    for (at, pair) in all.windows(2).enumerate() {
        let is = |word: &str| pair[0].text.eq_ignore_ascii_case(word);
        let value = VALUES.iter().find(|(name, _)| pair[1].text.eq_ignore_ascii_case(name));
        if let (true, Some((_, value))) = (is("a") || is("an") || is("one"), value) {
            let mut end = pair[1].span().end;
            let units = all[at + 2..].iter().take(2).map_while(|w| {
                let near = text[end..w.start].trim().is_empty() && !is_stop_word(w.text);
                end = w.span().end;
                (near && !w.is_numeric()).then(|| stem(w.text))
            });
            found.push(Quantity {
                value: *value,
                kind: QuantityKind::Count,
                units: units.collect(),
                bound: if is("one") { Bound::Exact } else { Bound::About },
                rounding: 0.5,
                span: pair[1].span(),
            });
        }
    }
    found
}

/// `half of`, `two thirds of`, `one in five`, `9 out of 10`: shares, in percent.
fn fractions(text: &str, all: &[Word<'_>]) -> Vec<Measure> {
    let mut found = Vec::new();
    let is = |at: usize, word: &str| all.get(at).is_some_and(|w| w.text.eq_ignore_ascii_case(word));
    for (i, word) in all.iter().enumerate() {
        let share = if word.text.eq_ignore_ascii_case("half") {
            let before = i.checked_sub(1).map_or("", |at| all[at].text);
            let part = ["first", "second", "other", "latter", "and", "better", "one"];
            let ordinal = part.iter().any(|p| before.eq_ignore_ascii_case(p));
            let counts = is(i + 1, "of") || is(i + 1, "the") || is(i + 1, "its");
            (!ordinal && counts).then_some((50.0, i))
        } else if let Some(top) = numerator(word.text) {
            if let Some(bottom) = all.get(i + 1).and_then(|w| denominator(w.text)) {
                is(i + 2, "of").then_some((100.0 * top / bottom, i + 1))
            } else {
                let out_of = is(i + 1, "out") && is(i + 2, "of");
                let at = if out_of { i + 3 } else { i + 2 };
                let bottom = all.get(at).and_then(|w| numerator(w.text));
                let one_in = is(i + 1, "in") && word.text.eq_ignore_ascii_case("one");
                let whole = bottom.filter(|b| (out_of || one_in) && *b > top && *b <= 1000.0);
                whole.map(|bottom| (100.0 * top / bottom, at))
            }
        } else {
            None
        };
        if let Some((percent, last)) = share {
            let about = i > 0
                && ["about", "around", "nearly", "almost", "roughly", "approximately"]
                    .iter()
                    .any(|w| is(i - 1, w));
            let over =
                i > 1 && is(i - 1, "than") && is(i - 2, "more") || i > 0 && is(i - 1, "over");
            let under = i > 1 && is(i - 1, "than") && is(i - 2, "less");
            // A share in words is no exact figure: a third is 33%.
            let slack = if about { percent / 10.0 } else { 0.5 };
            let end = all[last].span().end;
            debug_assert!(end <= text.len());
            found.push(Measure {
                kind: Kind::Percent,
                low: if under { 0.0 } else { percent - slack },
                high: if over { 100.0 } else { percent + slack },
                unit: "",
                nouns: Vec::new(),
                span: word.start..end,
            });
        }
    }
    found
}

fn numerator(word: &str) -> Option<f64> {
    const WORDS: [&str; 10] =
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
    let spelled = WORDS.iter().zip(1_u8..).find(|(w, _)| word.eq_ignore_ascii_case(w));
    if word.eq_ignore_ascii_case("a") {
        return Some(1.0);
    }
    spelled.map(|(_, n)| f64::from(n)).or_else(|| word.parse::<u16>().ok().map(f64::from))
}

fn denominator(word: &str) -> Option<f64> {
    const WORDS: [(&str, f64); 7] = [
        ("half", 2.0),
        ("third", 3.0),
        ("quarter", 4.0),
        ("fourth", 4.0),
        ("fifth", 5.0),
        ("eighth", 8.0),
        ("tenth", 10.0),
    ];
    let lower = word.to_lowercase();
    let singular = lower.strip_suffix('s').unwrap_or(&lower);
    WORDS.iter().find(|(w, _)| *w == singular).map(|(_, n)| *n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Measure {
        let found = measures(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        found[0].clone()
    }

    #[test]
    fn values_in_base_units() {
        for (text, kind, low, high) in [
            ("5 km", Kind::Length, 5000.0, 5000.0),
            ("a 5-km run", Kind::Length, 5000.0, 5000.0),
            ("5km away", Kind::Length, 5000.0, 5000.0),
            ("3 to 5 km", Kind::Length, 3000.0, 5000.0),
            ("3\u{2013}5 dogs", Kind::Count, 3.0, 5.0),
            ("between 3 and 5 dogs", Kind::Count, 3.0, 5.0),
            ("at least 3 dogs", Kind::Count, 3.0, f64::INFINITY),
            ("about 100 dogs", Kind::Count, 90.0, 110.0),
            ("0 degrees Celsius", Kind::Temperature, 0.0, 0.0),
            ("32 \u{b0}F", Kind::Temperature, 0.0, 0.0),
            ("20\u{b0}C", Kind::Temperature, 20.0, 20.0),
            ("21 \u{2103}", Kind::Temperature, 21.0, 21.0),
            ("32\u{2109}", Kind::Temperature, 0.0, 0.0),
            ("36 km/h", Kind::Speed, 10.0, 10.0),
            ("2 hours", Kind::Duration, 7200.0, 7200.0),
            ("$5m", Kind::Money("dollar"), 5e6, 5e6),
            ("half of them", Kind::Percent, 49.5, 50.5),
            ("one hundred and twenty dogs", Kind::Count, 120.0, 120.0),
            ("two thousand five hundred dogs", Kind::Count, 2450.0, 2550.0),
            ("a dozen eggs", Kind::Count, 10.8, 13.2),
        ] {
            let m = one(text);
            let near = |a: f64, b: f64| a == b || (a - b).abs() < 1e-6;
            assert!(m.kind == kind && near(m.low, low) && near(m.high, high), "{text}: {m:?}");
        }
    }

    #[test]
    fn squares_rates_and_years_are_no_plain_lengths() {
        for text in ["5 km\u{b2}", "5 square km", "5 m/s\u{b2} up", "5 miles per gallon"] {
            assert!(measures(text).iter().all(|m| m.kind != Kind::Length), "{text}");
        }
        assert!(measures("in 1982").is_empty());
    }

    #[test]
    fn hostile_texts_are_harmless() {
        for text in [
            "9".repeat(50_000),
            "one in one in ".repeat(2_000),
            "5 \u{b0}".repeat(2_000),
            "İ5 İ\u{b0}C 5İ 5\u{b0}İ".into(),
            "1 to 2 to 3 to 4".into(),
            "half half of half the\0".into(),
        ] {
            for m in measures(&text) {
                assert!(text.get(m.span.clone()).is_some(), "{m:?}");
            }
        }
    }
}
