// SPDX-License-Identifier: AGPL-3.0-or-later
//! The words of the schema's choices, for reading and for writing.

use super::{
    BlockedPost, BlockedPre, ConversationKind, DeviceMode, MissingInputs, OnInjection, Strategy,
};

/// A choice written as one of a few words.
pub(super) trait Words: Copy + PartialEq + 'static {
    /// Every word and what it means.
    const WORDS: &'static [(&'static str, Self)];

    /// The word for it.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }
}

impl Words for DeviceMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("phone", Self::Phone), ("sbc", Self::Sbc), ("vps", Self::Vps)];
}

impl Words for Strategy {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("partial_ok", Self::PartialOk),
        ("abort", Self::Abort),
        ("best_effort", Self::BestEffort),
    ];
}

impl Words for BlockedPre {
    const WORDS: &'static [(&'static str, Self)] =
        &[("safe_refusal", Self::SafeRefusal), ("error", Self::Error)];
}

impl Words for BlockedPost {
    const WORDS: &'static [(&'static str, Self)] =
        &[("regenerate_safe", Self::RegenerateSafe), ("error", Self::Error)];
}

impl Words for MissingInputs {
    const WORDS: &'static [(&'static str, Self)] =
        &[("skip_and_label", Self::SkipAndLabel), ("error", Self::Error)];
}

impl Words for OnInjection {
    const WORDS: &'static [(&'static str, Self)] =
        &[("drop", Self::Drop), ("neutralise", Self::Neutralise), ("block", Self::Block)];
}

impl Words for ConversationKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("none", Self::None), ("transcript", Self::Transcript)];
}
