// SPDX-License-Identifier: AGPL-3.0-or-later
//! Views of any text: each is bounded, and each character of it maps to characters of the text. A check of the text gives
//! spans of it.
#![no_main]

use std::sync::LazyLock;

use bho_guard::{Guard, Mode, Policy, model_view, normalise};
use libfuzzer_sys::fuzz_target;

static GUARD: LazyLock<Guard> = LazyLock::new(|| Guard::new(Policy::default()).unwrap());

fuzz_target!(|text: &str| {
    let views = normalise::views(text);
    let total: usize = views.iter().map(|view| view.text().len()).sum();
    assert!(total <= 64 * text.len(), "{total} bytes of views");
    for view in views.iter().chain([&model_view(text)]) {
        for (at, c) in view.text().char_indices() {
            let span = view.span(at..at + c.len_utf8());
            assert!(
                text.get(span.clone()).is_some_and(|t| !t.is_empty()),
                "{}: {at} -> {span:?}",
                view.via()
            );
        }
    }
    let verdict = GUARD.check("fuzz", text, Mode::Input).unwrap();
    for finding in &verdict.findings {
        assert!(text.get(finding.span.clone()).is_some(), "{finding:?}");
    }
});
