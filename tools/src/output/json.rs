// SPDX-License-Identifier: AGPL-3.0-or-later
//! `--json`: documents for one result, compact lines for streams.

use std::io::Write;

use serde::Serialize;

/// Writes one document, indented, and a line break.
pub(crate) fn document(out: &mut impl Write, value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// Writes one line, not flushed.
pub(crate) fn line(out: &mut impl Write, value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string(value)?;
    writeln!(out, "{text}")?;
    Ok(())
}
