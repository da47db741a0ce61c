// SPDX-License-Identifier: AGPL-3.0-or-later
//! The core schema of YAML 1.2: what a plain scalar means.

use super::Value;

/// What the plain scalar `text` means (YAML 1.2.2, section 10.3.2).
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    // No number is longer: it is text, and not worth a scan.
    if text.len() > 400 || !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return Value::Text;
    }
    let based = |prefix: &str, radix: u32| {
        let digits = text.strip_prefix(prefix)?;
        let valid = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        valid.then(|| i128::from_str_radix(digits, radix).ok()).flatten()
    };
    if let Some(value) = based("0o", 8).or_else(|| based("0x", 16)) {
        return Value::Int(value);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        let negative = text.starts_with('-');
        return Value::Float(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        if let Ok(value) = text.parse() {
            return Value::Int(value);
        }
        return text.parse().map_or(Value::Text, Value::Float);
    }
    if is_float(unsigned) { text.parse().map_or(Value::Text, Value::Float) } else { Value::Text }
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(text: &str) -> bool {
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let exponent_ok = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['+', '-']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    let mantissa_ok = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && digits(fraction),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    exponent_ok && mantissa_ok
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_schema() {
        for (text, value) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("True", Value::Bool(true)),
            ("yes", Value::Text),
            ("0", Value::Int(0)),
            ("-12", Value::Int(-12)),
            ("+7", Value::Int(7)),
            ("007", Value::Int(7)),
            ("0o17", Value::Int(15)),
            ("0x1F", Value::Int(31)),
            ("0x", Value::Text),
            ("-0x1F", Value::Text),
            ("18446744073709551615", Value::Int(u64::MAX.into())),
            ("1.5", Value::Float(1.5)),
            ("1.", Value::Float(1.0)),
            (".5", Value::Float(0.5)),
            ("-.5e+3", Value::Float(-500.0)),
            ("1e3", Value::Float(1000.0)),
            (".inf", Value::Float(f64::INFINITY)),
            ("-.INF", Value::Float(f64::NEG_INFINITY)),
            (".", Value::Text),
            ("-", Value::Text),
            ("+", Value::Text),
            ("e3", Value::Text),
            ("1e", Value::Text),
            ("1_000", Value::Text),
            ("0.1.0", Value::Text),
            ("inf", Value::Text),
            ("nan", Value::Text),
            ("+-1", Value::Text),
        ] {
            assert_eq!(resolve(text), value, "{text:?}");
        }
        assert!(matches!(resolve(".nan"), Value::Float(f) if f.is_nan()));
        let digits = "9".repeat(60);
        assert!(matches!(resolve(&digits), Value::Float(f) if f > 9e59));
        assert_eq!(resolve(&"9".repeat(1 << 20)), Value::Text);
    }
}
