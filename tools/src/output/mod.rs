// SPDX-License-Identifier: AGPL-3.0-or-later
//! Everything that is printed goes through here.

pub(crate) mod card;
pub(crate) mod file;
pub(crate) mod json;
pub(crate) mod style;
pub(crate) mod table;

use std::io::{self, BufWriter, StdoutLock, Write as _};

use style::{Style, Tint};

/// Standard output, buffered; callers flush it, so that a closed pipe is noticed.
pub(crate) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(64 << 10, io::stdout().lock())
}

/// `error: message` on standard error. A closed standard error is nothing to fail over.
pub(crate) fn error(message: &str) {
    say("error:", Tint::Red, message);
}

/// `warning: message` on standard error.
pub(crate) fn warning(message: &str) {
    say("warning:", Tint::Yellow, message);
}

fn say(label: &str, tint: Tint, message: &str) {
    let label = Style::stderr().paint(tint, label);
    let _ = writeln!(io::stderr(), "{label} {}", style::clean(message));
}

/// A duration for people: `3.4 ms`, `412 ms`, `2.1 s`.
pub(crate) fn milliseconds(duration: std::time::Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    match ms {
        ..9.95 => format!("{ms:.1} ms"),
        ..9999.5 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1e3),
    }
}

/// A size for people: `812 B`, `22.7 MB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let mut amount = bytes as f64 / 1e3;
    let mut unit = 0;
    while amount >= 999.95 && unit + 1 < UNITS.len() {
        amount /= 1e3;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

/// `1 node`, `2 nodes`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn amounts_read_well() {
        assert_eq!(milliseconds(Duration::from_micros(3440)), "3.4 ms");
        assert_eq!(milliseconds(Duration::from_millis(412)), "412 ms");
        assert_eq!(milliseconds(Duration::from_millis(12_340)), "12.3 s");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1000), "1.0 kB");
        assert_eq!(size(999_990), "1.0 MB");
        assert_eq!(size(22_700_000), "22.7 MB");
        assert_eq!(count(1, "node"), "1 node");
        assert_eq!(count(0, "node"), "0 nodes");
    }
}
