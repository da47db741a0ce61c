// SPDX-License-Identifier: AGPL-3.0-or-later
//! Properties of templates: any text parses or says where not, and text without references is itself.

use bho_orchestrator::binding::{Part, Reference, Root, Step, Template, parse_template};
use proptest::prelude::*;

fn key() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_][a-z0-9_-]{0,6}", "[a-z]\\.[a-z ]{0,3}", "é{1,2}"]
}

fn reference() -> impl Strategy<Value = Reference> {
    let root = prop_oneof![Just(Root::Source), Just(Root::Result), key().prop_map(Root::Node)];
    let step = prop_oneof![key().prop_map(Step::Key), (0_usize..100).prop_map(Step::Index)];
    (root, prop::collection::vec(step, 0..4)).prop_map(|(root, path)| Reference {
        root,
        path,
        offset: 0,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_parses_or_is_placed(text in "[${}\\[\\]\\.\"'a-cé0-9 ]{0,24}") {
        if let Err(error) = parse_template(&text) {
            prop_assert!(error.offset <= text.len());
            prop_assert!(text.is_char_boundary(error.offset));
            prop_assert!(!error.message.is_empty());
        }
    }

    #[test]
    fn text_without_references_is_itself(text in "[^$]{0,40}") {
        let parts = parse_template(&text).unwrap().parts;
        let want = if text.is_empty() { vec![] } else { vec![Part::Text(text)] };
        prop_assert_eq!(parts, want);
    }

    #[test]
    fn what_is_printed_is_read_back(reference in reference(), lead in "[^$]{0,5}") {
        let text = format!("{lead}{reference}");
        let Template { parts } = parse_template(&text).unwrap();
        let want = Reference { offset: lead.len(), ..reference };
        prop_assert_eq!(parts.last(), Some(&Part::Ref(want)));
    }
}
