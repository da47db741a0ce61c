// SPDX-License-Identifier: AGPL-3.0-or-later
//! Which sentences make the summary: the worthiest that do not repeat each other.

use super::draft::Draft;
use super::layout::Layout;
use super::salience::Cosines;
use super::{AgentContext, AgentError};

/// What a sentence that says the same as a chosen one loses, in logits (maximal marginal relevance,
/// Carbonell and Goldstein 1998).
const REDUNDANCY: f64 = 3.0;
/// What a sentence loses, in logits, that leans on one that is not in the summary. Set by hand, for
/// reading.
const LEANS: f64 = 0.5;
/// From this cosine on, a sentence says what another said.
const SAME: f32 = 0.95;

/// Indices of the sentences of the summary, in the order of the text.
pub(super) fn pick(
    text: &str,
    read: &[Draft],
    cosines: &Cosines,
    logits: &[f64],
    layout: &Layout,
    ctx: &AgentContext<'_>,
) -> Result<Vec<usize>, AgentError> {
    let mut left: Vec<usize> = (0..logits.len()).collect();
    let mut nearest = vec![0.0_f32; left.len()];
    let mut repeats = vec![0.0_f64; left.len()];
    let lengths: Vec<usize> = left.iter().map(|&i| layout.cost(text, &read[i])).collect();
    let mut picked: Vec<usize> = Vec::new();
    let mut used = 0;
    while picked.len() < layout.max_sentences {
        ctx.cancel.check()?;
        let fits = |i: usize| used + lengths[i] <= layout.max_chars;
        // When none fits, the best first sentence is cut; see `Layout::write`.
        let any_fits = !picked.is_empty() || left.iter().any(|&i| fits(i));
        left.retain(|&i| nearest[i] < SAME && (fits(i) || !any_fits));
        let alone = |i: usize| {
            let draft = &read[i];
            draft.leans && !picked.iter().any(|&p: &usize| read[p].index + 1 == draft.index)
        };
        let worth =
            |i: usize| logits[i] - REDUNDANCY * repeats[i] - if alone(i) { LEANS } else { 0.0 };
        // Of equals the first: `max_by` would take the last.
        let best = left.iter().copied().reduce(|a, b| if worth(b) > worth(a) { b } else { a });
        let Some(best) = best else { break };
        used += lengths[best] + 1;
        left.retain(|&i| i != best);
        for &i in &left {
            nearest[i] = nearest[i].max(cosines.between(i, best));
            repeats[i] = repeats[i].max(cosines.overlap(i, best));
        }
        picked.push(best);
    }
    picked.sort_unstable();
    Ok(picked)
}
