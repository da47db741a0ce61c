// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho models`: what is in the program and in the store.

mod pull;

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use bho_engine::CancelToken;
use bho_models::ModelError;
use bho_models::store::{
    Checked, Listed, LocalStore, Manifest, ModelEntry, ModelStore, Partial, Verification,
    VerifiedModel,
};
use serde_json::{Value, json};

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
                "licence": entry.licence, "source": entry.source, "pulled": null,
                "sizes": entry.sizes, "tiers": entry.tiers, "fault": null,
            })
        });
        let stored = listed.iter().map(|Listed { name, manifest }| match manifest {
            Ok(manifest) => json!({
                "name": name, "bundled": false, "bytes": manifest.bytes(),
                "files": manifest.files.len(), "licence": manifest.licence,
                "source": manifest.source.location, "pulled": manifest.pulled,
                "sizes": null, "tiers": null, "fault": null,
            }),
            Err(error) => json!({ "name": name, "bundled": false, "fault": error.to_string() }),
        });
        let all: Vec<Value> = bundled.chain(stored).collect();
        print::document(&mut out, &json!({ "store": store.root(), "models": all }))?;
        return Ok(if sound { Exit::Success } else { Exit::Failed });
    }
    let mut table =
        Table::new(["model", ">size", ">parameters", "weights", "licence", "pulled", "source"]);
    for entry in bundled.entries() {
        table.row([
            entry.name.as_str().into(),
            output::size(entry.bytes).into(),
            output::size(entry.sizes.parameters).trim_end_matches('B').into(),
            entry.sizes.weights.name().into(),
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
            // `bho inspect` reads them out of the file.
            "".into(),
            "".into(),
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
            None => Err(models::failure(models::unknown(&bundled, &store, &args.name))),
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
            "architecture": entry.architecture, "sizes": entry.sizes, "tiers": entry.tiers,
            "files": [{ "path": entry.file, "sha256": entry.sha256, "size": entry.bytes }],
        });
        print::document(&mut out, &document)?;
        return Ok(Exit::Success);
    }
    let sizes = &entry.sizes;
    let tiers = entry.tiers.iter().map(|(used_as, tier)| format!("{} {tier}", used_as.name()));
    let facts = [
        ("model", entry.name.clone()),
        ("also", entry.aliases.join(", ")),
        ("path", "part of the program".to_owned()),
        ("licence", entry.licence.clone()),
        ("source", entry.source.clone()),
        ("revision", entry.revision.clone()),
        ("size", output::size(entry.bytes)),
        ("sha256", entry.sha256.clone()),
        ("architecture", entry.architecture.clone()),
        ("weights", format!("{}, {} parameters", sizes.weights.name(), sizes.parameters)),
        ("layers", format!("{} of {} dimensions", sizes.layers, sizes.dimensions)),
        ("tokens", format!("{} at once", sizes.max_tokens)),
        ("tiers", tiers.collect::<Vec<_>>().join(", ")),
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
    let mut entries: Vec<&ModelEntry> = bundled.entries().iter().collect();
    let mut stored = None;
    if !args.names.is_empty() {
        // A bundled model is not in the folder; a name that is in neither is known before anything is read.
        let (inside, outside): (Vec<_>, Vec<_>) =
            args.names.iter().map(String::as_str).partition(|name| bundled.find(name).is_some());
        let known = store.list().map_err(models::failure)?;
        if let Some(name) = outside.iter().find(|name| known.iter().all(|l| l.name != **name)) {
            return Err(models::failure(models::unknown(&bundled, &store, name)));
        }
        entries.retain(|entry| inside.iter().any(|name| bundled.find(name) == Some(*entry)));
        stored = Some(outside);
    }
    let cancel = CancelToken::new();
    exit::cancel_on_interrupt(&cancel);
    let stopped = |error| match error {
        ModelError::Cancelled => Failure::said(Exit::Interrupted, "stopped before all was read"),
        error => models::failure(error),
    };
    let mut carried = Vec::new();
    for entry in &entries {
        carried.push(verify_bundled(&bundled, entry, &cancel).map_err(stopped)?);
    }
    let bar = super::convert::progress();
    let checked = store.verify(stored.as_deref(), &cancel, &mut |progress| {
        super::convert::advance(&bar, progress);
    });
    bar.finish_and_clear();
    let mut found = checked.map_err(stopped)?;
    found.models.splice(..0, carried);
    found.ok = found.models.iter().all(|model| model.faults.is_empty());
    let mut out = output::stdout();
    if args.json {
        print::document(&mut out, &found)?;
    } else {
        let inside: u64 = entries.iter().map(|entry| entry.bytes).sum();
        out.write_all(describe_verification(&found, inside, &Style::stdout()).as_bytes())?;
        out.flush()?;
    }
    Ok(if found.ok { Exit::Success } else { Exit::Failed })
}

/// What is wrong with a model of the program.
pub(crate) fn verify_bundled(
    bundled: &ModelStore,
    entry: &ModelEntry,
    cancel: &CancelToken,
) -> Result<VerifiedModel, ModelError> {
    let faults = bundled.verify(entry, cancel)?;
    let remedy = (!faults.is_empty())
        .then(|| "it is part of the program: install or build the program again".to_owned());
    Ok(VerifiedModel { name: entry.name.clone(), bundled: true, faults, remedy })
}

/// Most faults of a model that are told on its line.
const TOLD: usize = 5;

fn describe_verification(found: &Verification, inside: u64, style: &Style) -> String {
    let mut out = String::new();
    for VerifiedModel { name, bundled, faults, remedy } in &found.models {
        let place = if *bundled { " (bundled)" } else { "" };
        if faults.is_empty() {
            out.push_str(&format!("{}  {name}{place}\n", style.paint(Tint::Green, "sound")));
            continue;
        }
        let mut told = faults.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join("; ");
        if faults.len() > TOLD {
            told.push_str(&format!("; and {} more (--json has all)", faults.len() - TOLD));
        }
        let remedy = remedy.as_deref().unwrap_or_default();
        let line = style.wrap(&format!("{name}{place}: {told}. To do: {remedy}"));
        out.push_str(&format!("{}  {line}\n", style.paint(Tint::Red, "fault")));
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
    if inside > 0 {
        out.push_str(&format!("{} inside the program read\n", output::size(inside)));
    }
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
