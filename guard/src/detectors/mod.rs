// SPDX-License-Identifier: AGPL-3.0-or-later
//! The built-in detectors. A new one is a file here and a line in [`builtin`].

pub mod address;
pub mod bic;
pub mod birth_date;
pub mod card;
pub mod crypto;
pub mod email;
pub mod iban;
pub mod ids;
pub mod indirect;
pub mod ip;
pub mod jailbreak;
pub mod learned;
pub mod mac;
pub mod password;
pub mod phone;
pub mod private_key;
pub mod secret;
pub mod ssn;
pub mod url;

use crate::detector::Detector;

/// All built-in detectors.
#[must_use]
pub fn builtin() -> Vec<Box<dyn Detector>> {
    vec![
        Box::new(email::EmailDetector),
        Box::new(phone::PhoneDetector),
        Box::new(card::CardDetector),
        Box::new(iban::IbanDetector),
        Box::new(ssn::SsnDetector),
        Box::new(ip::IpDetector),
        Box::new(bic::BicDetector),
        Box::new(birth_date::BirthDateDetector),
        Box::new(address::AddressDetector),
        Box::new(ids::us::DETECTOR),
        Box::new(ids::gb::DETECTOR),
        Box::new(ids::de::DETECTOR),
        Box::new(ids::fr::DETECTOR),
        Box::new(ids::es::DETECTOR),
        Box::new(ids::it::DETECTOR),
        Box::new(ids::nl::DETECTOR),
        Box::new(ids::pl::DETECTOR),
        Box::new(ids::india::DETECTOR),
        Box::new(ids::br::DETECTOR),
        Box::new(ids::au::DETECTOR),
        Box::new(ids::ca::DETECTOR),
        Box::new(ids::passport::DETECTOR),
        Box::new(ids::license::DETECTOR),
        Box::new(mac::MacDetector),
        Box::new(crypto::CryptoDetector),
        Box::new(url::UrlCredentialsDetector),
        Box::new(secret::SecretDetector),
        Box::new(private_key::PrivateKeyDetector),
        Box::new(password::PasswordDetector),
        Box::new(jailbreak::JailbreakDetector),
        Box::new(indirect::IndirectDetector),
    ]
}

#[cfg(test)]
pub(crate) mod testing {
    //! Shorthand for the detectors' own tables.
    use crate::{DetectContext, Detector, Mode};

    /// What the detector finds at or over the default redaction threshold.
    pub(crate) fn found<'t>(detector: &dyn Detector, text: &'t str) -> Vec<&'t str> {
        scored(detector, text)
            .into_iter()
            .filter(|(_, score)| *score >= 0.7)
            .map(|(hit, _)| hit)
            .collect()
    }

    /// Everything the detector finds, in order.
    pub(crate) fn scored<'t>(detector: &dyn Detector, text: &'t str) -> Vec<(&'t str, f32)> {
        let mut out = Vec::new();
        let ctx = DetectContext::new(text, Mode::Input);
        detector.detect(text, &ctx, &mut out).unwrap();
        out.sort_by_key(|f| (f.span.start, f.span.end));
        out.iter().map(|f| (&text[f.span.clone()], f.score)).collect()
    }

    /// Each text must give exactly these hits.
    pub(crate) fn assert_table(detector: &dyn Detector, table: &[(&str, &[&str])]) {
        let wrong: Vec<String> = table
            .iter()
            .filter(|(text, want)| found(detector, text) != *want)
            .map(|(text, want)| {
                format!("{text:?}: want {want:?}, got {:?}", scored(detector, text))
            })
            .collect();
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    }

    /// None of these texts may give a hit.
    pub(crate) fn assert_clean(detector: &dyn Detector, texts: &[&str]) {
        let table: Vec<(&str, &[&str])> = texts.iter().map(|t| (*t, &[] as &[&str])).collect();
        assert_table(detector, &table);
    }
}
