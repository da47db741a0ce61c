// SPDX-License-Identifier: AGPL-3.0-or-later
//! The judge that asks a cross-encoder.

use bho_engine::CancelToken;

use super::calibration::{self, Calibration};
use super::judge::{Exhibit, Judge, Reading, Statement};
use crate::agents::AgentError;
use crate::reasoner::{Entailer, Pair};

/// Reads (premise = evidence, hypothesis = statement) with a natural-language-inference head.
pub(super) struct Cross<'a> {
    entailer: &'a dyn Entailer,
    calibration: Calibration,
}

impl<'a> Cross<'a> {
    pub(super) fn new(entailer: &'a dyn Entailer) -> Self {
        Self { entailer, calibration: calibration::CROSS }
    }
}

impl Judge for Cross<'_> {
    fn name(&self) -> &'static str {
        "cross-encoder"
    }

    fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    fn max_sentences(&self) -> usize {
        3
    }

    fn read(
        &self,
        statement: &Statement,
        exhibits: &[Exhibit<'_>],
        cancel: &CancelToken,
    ) -> Result<Vec<Reading>, AgentError> {
        let pairs: Vec<Pair<'_>> = exhibits
            .iter()
            .map(|e| Pair { premise: e.text, hypothesis: &statement.text })
            .collect();
        let scored = self.entailer.entailment(&pairs, cancel)?;
        let read = |e: &crate::reasoner::Entailment| {
            let (supports, refutes) =
                self.calibration.of_logits(e.entails, e.neutral, e.contradicts);
            Reading { supports, refutes }
        };
        Ok(scored.iter().map(read).collect())
    }
}
