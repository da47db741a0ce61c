// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho dev`: what helps to work on the program.

use std::io::Write as _;

use bho_engine::CancelToken;
use bho_models::decoder::{DecoderOptions, SHAPES, make_random, shape};

use crate::cli::generation::MakeModelArgs;
use crate::exit::{self, Exit, Failure};
use crate::models;
use crate::output::{self, json};

/// `bho dev make-model`.
pub(crate) fn make_model(args: &MakeModelArgs) -> Result<Exit, Failure> {
    let Some(config) = shape(&args.shape) else {
        let known = SHAPES.join(", ");
        let message = format!("--shape {:?} is not known; accepted: {known}", args.shape);
        return Err(Failure::said(Exit::Usage, message));
    };
    let cancel = CancelToken::new();
    exit::cancel_on_interrupt(&cancel);
    let bar = super::convert::progress();
    let (dense, head) = (args.dense, args.head.into());
    let options = DecoderOptions { dense, head, ..DecoderOptions::default() };
    let target = (args.out.as_path(), args.force);
    let made = make_random(
        &config,
        args.seed,
        args.tokenizer,
        &options,
        target,
        &cancel,
        &mut |progress| super::convert::advance(&bar, progress),
    );
    bar.finish_and_clear();
    let report = made.map_err(models::failure)?;
    let mut out = output::stdout();
    if args.json {
        json::document(&mut out, &report)?;
    } else {
        writeln!(out, "{}  {}", report.path.display(), output::size(report.bytes))?;
        out.flush()?;
    }
    Ok(Exit::Success)
}
