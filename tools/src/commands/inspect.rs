// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho inspect`: what is in a model file.

use std::io::Write as _;

use crate::cli::args::InspectArgs;
use crate::exit::{Exit, Failure};
use crate::models;
use crate::output::style::{Style, Tint};
use crate::output::table::{Cell, Table};
use crate::output::{self, json};

/// Shows a model file.
pub(crate) fn execute(args: &InspectArgs) -> Result<Exit, Failure> {
    let found = bho_models::inspect(&models::file(&args.file)?).map_err(models::failure)?;
    let mut out = output::stdout();
    if args.json {
        json::document(&mut out, &found)?;
        return Ok(Exit::Success);
    }
    let style = Style::stdout();
    let mut facts = Table::new(["", ""]);
    let mut fact = |name: &str, value: String| {
        facts.row([Cell::tinted(Tint::Dim, name), value.into()]);
    };
    fact("file", found.path.display().to_string());
    fact("size", format!("{} ({} bytes)", output::size(found.bytes), found.bytes));
    fact("sha256", found.sha256.clone());
    fact("format", found.format.clone());
    fact("architecture", found.architecture.clone().unwrap_or_else(|| "not stated".to_owned()));
    fact("parameters", found.parameters.to_string());
    for (key, value) in &found.metadata {
        fact(key, value.clone());
    }
    let mut tensors = Table::new(["tensor", "dtype", ">size", "shape"]);
    for tensor in &found.tensors {
        let shape: Vec<_> = tensor.shape.iter().map(ToString::to_string).collect();
        tensors.row([
            tensor.name.as_str().into(),
            tensor.dtype.as_str().into(),
            output::size(tensor.bytes).into(),
            shape.join(" x ").into(),
        ]);
    }
    // The first line of the facts is that of their empty headings.
    out.write_all(facts.render(&style).trim_start_matches('\n').as_bytes())?;
    writeln!(out)?;
    out.write_all(tensors.render(&style).as_bytes())?;
    out.flush()?;
    Ok(Exit::Success)
}
