// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho models`: what is in the program and in the store.

mod pull;

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use bho_engine::CancelToken;
use bho_models::store::{
    Checked, Listed, LocalStore, Manifest, ModelEntry, ModelStore, Partial, Verification,
    VerifiedModel,
};
use bho_models::{ModelError, ModelSource};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::cli::models::{
    ModelsListArgs, ModelsRmArgs, ModelsShowArgs, ModelsVerb, ModelsVerifyArgs,
};
use crate::exit::{self, Exit, Failure};
use crate::models;
use crate::output::style::{Style, Tint};
use crate::output::table::{Cell, Table};
use crate::output::{self, json as print};

/// Does what `bho models` is asked for.
pub(crate) fn execute(verb: ModelsVerb) -> Result<Exit, Failure> {
    match verb {
        ModelsVerb::List(args) => list(&args),
        ModelsVerb::Show(args) => show(&args),
        ModelsVerb::Verify(args) => verify(&args),
        ModelsVerb::Pull(args) => pull::execute(&args),
        ModelsVerb::Rm(args) => remove(&args),
    }
}

fn list(args: &ModelsListArgs) -> Result<Exit, Failure> {
    let (bundled, store) = (ModelStore::bundled().map_err(models::failure)?, models::store()?);
    let listed = store.list().map_err(models::failure)?;
    let sound = listed.iter().all(|listed| listed.manifest.is_ok());
    let mut out = output::stdout();
    if args.json {
        let bundled = bundled.entries().iter().map(|entry| {
            json!({
                "name": entry.name, "bundled": true, "bytes": entry.bytes, "files": 1,
                "licence": entry.licence, "source": entry.source, "pulled": null, "fault": null,
            })
        });
        let stored = listed.iter().map(|Listed { name, manifest }| match manifest {
            Ok(manifest) => json!({
                "name": name, "bundled": false, "bytes": manifest.bytes(),
                "files": manifest.files.len(), "licence": manifest.licence,
                "source": manifest.source.location, "pulled": manifest.pulled, "fault": null,
            }),
            Err(error) => json!({ "name": name, "bundled": false, "fault": error.to_string() }),
        });
        let all: Vec<Value> = bundled.chain(stored).collect();
        print::document(&mut out, &json!({ "store": store.root(), "models": all }))?;
        return Ok(if sound { Exit::Success } else { Exit::Failed });
    }
    let mut table = Table::new(["model", ">size", "licence", "pulled", "source"]);
    for entry in bundled.entries() {
        table.row([
            entry.name.as_str().into(),
            output::size(entry.bytes).into(),
            entry.licence.as_str().into(),
            "bundled".into(),
            entry.source.as_str().into(),
        ]);
    }
    for Listed { name, manifest } in &listed {
        let Ok(manifest) = manifest else { continue };
        table.row([
            name.as_str().into(),
            output::size(manifest.bytes()).into(),
            licence(manifest.licence.as_deref()).into(),
            manifest.pulled.split('T').next().unwrap_or_default().into(),
            manifest.source.location.as_str().into(),
        ]);
    }
    out.write_all(table.render(&Style::stdout()).as_bytes())?;
    out.flush()?;
    for error in listed.iter().filter_map(|listed| listed.manifest.as_ref().err()) {
        output::error(&error.to_string());
    }
    Ok(if sound { Exit::Success } else { Exit::Failed })
}

fn show(args: &ModelsShowArgs) -> Result<Exit, Failure> {
    let store = models::store()?;
    let Some(manifest) = store.get(&args.name).map_err(models::failure)? else {
        let bundled = ModelStore::bundled().map_err(models::failure)?;
        return match bundled.find(&args.name) {
            Some(entry) => show_bundled(args, entry),
            None => Err(models::failure(store.unknown(&args.name))),
        };
    };
    let mut out = output::stdout();
    if args.path {
        writeln!(out, "{}", store.path(&manifest).map_err(models::failure)?.display())?;
        out.flush()?;
    } else if args.json {
        print::document(&mut out, &document(&store, &manifest)?)?;
    } else {
        // A model whose files are gone still has something to show.
        let path = store.path(&manifest).map(|path| path.display().to_string());
        out.write_all(describe(&manifest, path, &Style::stdout()).as_bytes())?;
        out.flush()?;
    }
    Ok(Exit::Success)
}

fn show_bundled(args: &ModelsShowArgs, entry: &ModelEntry) -> Result<Exit, Failure> {
    if args.path {
        let message = format!("{} is part of the program: it has no file of its own", entry.name);
        return Err(Failure::said(Exit::Failed, message));
    }
    let mut out = output::stdout();
    if args.json {
        let document = json!({
            "name": entry.name, "bundled": true, "aliases": entry.aliases, "licence": entry.licence,
            "source": entry.source, "revision": entry.revision, "summary": entry.summary,
            "architecture": entry.architecture,
            "files": [{ "path": entry.file, "sha256": entry.sha256, "size": entry.bytes }],
        });
        print::document(&mut out, &document)?;
        return Ok(Exit::Success);
    }
    let facts = [
        ("model", entry.name.clone()),
        ("also", entry.aliases.join(", ")),
        ("path", "part of the program".to_owned()),
        ("licence", entry.licence.clone()),
        ("source", entry.source.clone()),
        ("revision", entry.revision.clone()),
        ("size", output::size(entry.bytes)),
        ("sha256", entry.sha256.clone()),
        ("summary", entry.summary.clone()),
    ];
    out.write_all(self::facts(&facts, &Style::stdout()).as_bytes())?;
    out.flush()?;
    Ok(Exit::Success)
}

/// A manifest as JSON, with where it is and what it is in the store.
fn document(store: &LocalStore, manifest: &Manifest) -> Result<Value, Failure> {
    let mut value = serde_json::to_value(manifest)?;
    value["bundled"] = false.into();
    value["bytes"] = manifest.bytes().into();
    value["path"] = store.path(manifest).ok().map(|path| path.display().to_string()).into();
    Ok(value)
}

fn describe(manifest: &Manifest, path: Result<String, ModelError>, style: &Style) -> String {
    let (revision, size) = (manifest.revision.clone(), output::size(manifest.bytes()));
    let known = [
        ("model", manifest.name.clone()),
        ("path", path.unwrap_or_else(|error| error.to_string())),
        ("licence", licence(manifest.licence.as_deref()).to_owned()),
        ("source", manifest.source.location.clone()),
        ("revision", revision.unwrap_or_else(|| "not stated".into())),
        ("pulled", manifest.pulled.clone()),
        ("size", format!("{size} in {}", output::count(manifest.files.len(), "file"))),
    ];
    let mut table = Table::new(["file", ">size", "checked", "sha256"]);
    for file in &manifest.files {
        let checked = match file.checked {
            Some(Checked::User) => Cell::from("as given"),
            Some(Checked::Hub) => "as the hub says".into(),
            None => Cell::tinted(Tint::Dim, "recorded only"),
        };
        let (path, sum) = (file.path.as_str().into(), file.sha256.as_str().into());
        table.row([path, output::size(file.size).into(), checked, sum]);
    }
    format!("{}\n{}", facts(&known, style), table.render(style))
}

fn facts(facts: &[(&str, String)], style: &Style) -> String {
    let mut table = Table::new(["", ""]);
    for (name, value) in facts {
        table.row([Cell::tinted(Tint::Dim, name), value.into()]);
    }
    // The first line is that of the empty headings.
    table.render(style).trim_start_matches('\n').to_owned()
}

fn licence(stated: Option<&str>) -> &str {
    stated.unwrap_or("not stated")
}

fn verify(args: &ModelsVerifyArgs) -> Result<Exit, Failure> {
    let (bundled, store) = (ModelStore::bundled().map_err(models::failure)?, models::store()?);
    let cancel = CancelToken::new();
    exit::cancel_on_interrupt(&cancel);
    let bar = super::convert::progress();
    let checked = store.verify(args.name.as_deref(), &cancel, &mut |progress| {
        super::convert::advance(&bar, progress);
    });
    bar.finish_and_clear();
    let named = args.name.as_deref();
    let mut found = match checked {
        // A bundled model is not in the folder.
        Err(ModelError::Unknown { .. })
            if named.is_some_and(|name| bundled.find(name).is_some()) =>
        {
            Verification::default()
        }
        Err(ModelError::Cancelled) => {
            return Err(Failure::said(Exit::Interrupted, "stopped before all was read"));
        }
        found => found.map_err(models::failure)?,
    };
    let wanted = |entry: &&ModelEntry| named.is_none_or(|name| bundled.find(name) == Some(*entry));
    let carried = bundled.entries().iter().filter(wanted).map(verify_bundled);
    found.models.splice(..0, carried);
    found.ok = found.models.iter().all(|model| model.faults.is_empty());
    let mut out = output::stdout();
    if args.json {
        print::document(&mut out, &found)?;
    } else {
        out.write_all(describe_verification(&found, &Style::stdout()).as_bytes())?;
        out.flush()?;
    }
    Ok(if found.ok { Exit::Success } else { Exit::Failed })
}

fn verify_bundled(entry: &ModelEntry) -> VerifiedModel {
    let right = ModelStore::bundled().and_then(|store| match store.source(entry)? {
        ModelSource::Bundled { bytes, sha256, .. } => {
            Ok(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
                == sha256)
        }
        ModelSource::File(_) => Ok(false),
    });
    let wrong = "its bytes are not those of the program's manifest; build the program again";
    let faults = match right {
        Ok(true) => Vec::new(),
        Ok(false) => vec![wrong.to_owned()],
        Err(error) => vec![error.to_string()],
    };
    VerifiedModel { name: entry.name.clone(), faults }
}

fn describe_verification(found: &Verification, style: &Style) -> String {
    let mut out = String::new();
    for VerifiedModel { name, faults } in &found.models {
        if faults.is_empty() {
            out.push_str(&format!("{}  {name}\n", style.paint(Tint::Green, "sound")));
        }
        for fault in faults {
            let line = style.wrap(&format!("{name}: {fault}"));
            out.push_str(&format!("{}  {line}\n", style.paint(Tint::Red, "fault")));
        }
    }
    for blob in &found.unreferenced {
        let sound = if blob.sound { "" } else { ", damaged" };
        let line = format!(
            "blob {} ({}{sound}): no model needs it",
            blob.sha256,
            output::size(blob.bytes)
        );
        out.push_str(&format!("{}  {line}\n", style.paint(Tint::Dim, "spare")));
    }
    for Partial { name, location, bytes, size, .. } in &found.partial {
        let of = size.map_or_else(String::new, |size| format!(" of {}", output::size(size)));
        let line =
            style.wrap(&format!("{} bytes{of} of {location}, for {name}", output::size(*bytes)));
        out.push_str(&format!("{}   {line}\n", style.paint(Tint::Dim, "part")));
    }
    let (files, size) = (output::count(found.blobs, "file"), output::size(found.bytes));
    out.push_str(&format!("{files} of the store read, {size}\n"));
    if !found.unreferenced.is_empty() {
        out.push_str("`bho models rm` of any model removes what no model needs\n");
    }
    out
}

fn remove(args: &ModelsRmArgs) -> Result<Exit, Failure> {
    let store = models::store()?;
    if ModelStore::bundled().map_err(models::failure)?.find(&args.name).is_some() {
        let message = format!("{} is part of the program and cannot be removed", args.name);
        return Err(Failure::said(Exit::Failed, message));
    }
    if !args.yes {
        // Nothing is asked about a name that is not there.
        let there = matches!(store.get(&args.name), Ok(Some(_)) | Err(_));
        let known = there || store.has_partial(&args.name).map_err(models::failure)?;
        if !known {
            return Err(models::failure(store.unknown(&args.name)));
        }
        if !confirmed(&format!("remove {}?", args.name))? {
            return Err(Failure::said(Exit::Failed, "nothing was removed"));
        }
    }
    let removed = store.remove(&args.name).map_err(models::failure)?;
    let mut out = output::stdout();
    if args.json {
        print::document(&mut out, &removed)?;
    } else {
        let (files, size) = (output::count(removed.files, "file"), output::size(removed.bytes));
        writeln!(out, "{} removed, {files}, {size}", removed.name)?;
        out.flush()?;
    }
    if let Some(kept) = removed.kept {
        output::warning(&format!("files that may be needed no more were kept: {kept}"));
    }
    Ok(Exit::Success)
}

/// Asks on the terminal.
///
/// # Errors
/// Where there is none to ask on.
fn confirmed(question: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        let message = "nobody can be asked here (standard input is no terminal); give --yes";
        return Err(Failure::said(Exit::Usage, message));
    }
    let mut errors = std::io::stderr();
    write!(errors, "{question} [y/N] ")?;
    errors.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
