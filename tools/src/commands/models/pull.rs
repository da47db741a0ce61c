// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho models pull`: a model into the store, once its licence and files have been seen.

use std::io::Write as _;
use std::time::Duration;

use bho_engine::CancelToken;
use bho_models::store::{
    Event, Link, LocalStore, ModelStore, OriginKind, Plan, PullOptions, Transport,
};
use indicatif::ProgressBar;

use crate::cli::models::{ModelsPullArgs, PullSource};
use crate::exit::{self, Exit, Failure};
use crate::models;
use crate::output::style::{Style, Tint};
use crate::output::{self, json as print, style};

/// Files shown before the question; the rest is counted.
const SHOWN: usize = 20;

/// Pulls; Ctrl-C keeps what has come.
pub(super) fn execute(args: &ModelsPullArgs) -> Result<Exit, Failure> {
    let (store, mut options) = (models::store()?, options(args));
    let cancel = CancelToken::new();
    let source = match args.kind() {
        PullSource::Address(address) => Source::Address(link("SOURCE", &address)?),
        PullSource::Local(path) => Source::Local(path),
        PullSource::Repository(repository) => {
            options.token = token()?;
            Source::Hub(hub(args, &repository)?, repository)
        }
    };
    let network = match source {
        Source::Local(_) => None,
        Source::Address(_) | Source::Hub(..) => Some(network(&options)?),
    };
    let transport = network.as_deref();
    let bar = super::super::convert::progress();
    let mut events = |event: Event<'_>| tell(&bar, event);
    let plan = match (&source, transport) {
        (Source::Local(path), _) => Plan::of_local(path, &options),
        (Source::Address(link), _) => Plan::of_link(link, &options),
        (Source::Hub(hub, repository), Some(transport)) => {
            let repository = (hub, repository.as_str(), args.revision.as_str());
            Plan::of_hub(transport, repository, &options, &cancel, &mut events)
        }
        (Source::Hub(..), None) => return Err(no_network()),
    };
    let plan = plan.map_err(models::failure)?;
    if ModelStore::bundled().map_err(models::failure)?.find(&plan.name).is_some() {
        let message =
            format!("{} is the name of a bundled model; give another with --name", plan.name);
        return Err(Failure::said(Exit::Usage, message));
    }
    present(&plan)?;
    if !args.yes && !super::confirmed("pull it?")? {
        return Err(Failure::said(Exit::Failed, "nothing was pulled"));
    }
    exit::cancel_on_interrupt(&cancel);
    let pulled = plan.pull(&store, transport, &options, &cancel, &mut events);
    bar.finish_and_clear();
    report(&store, &pulled.map_err(models::failure)?, args.json)
}

/// Where a model comes from.
enum Source {
    Address(Link),
    Local(std::path::PathBuf),
    Hub(Link, String),
}

fn report(
    store: &LocalStore,
    manifest: &bho_models::store::Manifest,
    json: bool,
) -> Result<Exit, Failure> {
    let mut out = output::stdout();
    if json {
        print::document(&mut out, &super::document(store, manifest)?)?;
        return Ok(Exit::Success);
    }
    let style = Style::stdout();
    let path = store.path(manifest).map_err(models::failure)?;
    let name = style.paint(Tint::Bold, &manifest.name);
    writeln!(out, "{name}  {}  {}", output::size(manifest.bytes()), path.display())?;
    let unverified = manifest.files.iter().filter(|file| file.checked.is_none()).count();
    if unverified > 0 && manifest.source.kind != OriginKind::Local {
        let note = format!(
            "{} recorded, not verified: the source states no sha256",
            output::count(unverified, "file")
        );
        writeln!(out, "{}", style.paint(Tint::Dim, &note))?;
    }
    out.flush()?;
    Ok(Exit::Success)
}

fn options(args: &ModelsPullArgs) -> PullOptions {
    PullOptions {
        name: args.name.clone(),
        files: args.file.clone(),
        sha256: args.sha256.as_deref().map(str::to_ascii_lowercase),
        licence: args.licence.clone(),
        max_bytes: args.network.max_size,
        retries: args.network.retries,
        patience: Duration::from_secs(args.network.timeout.into()),
        insecure_http: args.network.insecure_http,
        ..PullOptions::default()
    }
}

fn variable(name: &str) -> Result<Option<String>, Failure> {
    match std::env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(_) => Err(Failure::said(Exit::Usage, format!("{name} is not UTF-8"))),
    }
}

fn token() -> Result<Option<String>, Failure> {
    let token = variable("BHO_HUB_TOKEN")?;
    match token.as_deref().map(|token| token.bytes().all(|b| b.is_ascii_graphic())) {
        Some(false) => {
            Err(Failure::said(Exit::Usage, "BHO_HUB_TOKEN holds a space or an odd character"))
        }
        _ => Ok(token),
    }
}

/// The hub a repository is to come from.
fn hub(args: &ModelsPullArgs, repository: &str) -> Result<Link, Failure> {
    let (flag, address) = match &args.network.hub {
        Some(address) => ("--hub", Some(address.clone())),
        None => ("BHO_HUB", variable("BHO_HUB")?),
    };
    let Some(address) = address else {
        let message = format!(
            "{repository}: there is no such file or folder, and no hub is built in; for a repository \
             OWNER/NAME give the address of its hub by --hub URL or in BHO_HUB"
        );
        return Err(Failure::said(Exit::Usage, message));
    };
    link(flag, &address)
}

fn link(what: &str, address: &str) -> Result<Link, Failure> {
    Link::parse(address).map_err(|error| Failure::said(Exit::Usage, format!("{what}: {error}")))
}

#[cfg(feature = "pull")]
fn network(options: &PullOptions) -> Result<Box<dyn Transport>, Failure> {
    Ok(Box::new(crate::http::Http::new(options.patience)))
}

#[cfg(not(feature = "pull"))]
fn network(_: &PullOptions) -> Result<Box<dyn Transport>, Failure> {
    Err(no_network())
}

fn no_network() -> Failure {
    let message = "this program was built without network access; \
                   `cargo build --release --bin bho --features pull` builds one that has it. A file \
                   or folder of this machine can be pulled as it is";
    Failure::said(Exit::Usage, message)
}

/// Shows what a pull would bring.
fn present(plan: &Plan) -> Result<(), Failure> {
    let size = plan.bytes().map_or_else(|| "size not known".to_owned(), output::size);
    let mut text = format!(
        "{}  {size}\nlicence: {}\nsource: {}\n",
        plan.name,
        super::licence(plan.licence.as_deref()),
        plan.origin.location
    );
    if let Some(revision) = &plan.revision {
        text.push_str(&format!("revision: {revision}\n"));
    }
    let count = plan.files().count();
    for file in plan.files().take(SHOWN) {
        let size = file.size.map_or_else(String::new, |size| format!("  {}", output::size(size)));
        text.push_str(&format!("- {}{size}\n", file.path));
    }
    if count > SHOWN {
        text.push_str(&format!("- and {} more\n", count - SHOWN));
    }
    std::io::stderr().write_all(style::clean(&text).as_bytes())?;
    Ok(())
}

fn tell(bar: &ProgressBar, event: Event<'_>) {
    match event {
        Event::Progress { path, bytes, size } => {
            bar.set_length(size.unwrap_or(bytes));
            bar.set_position(bytes);
            if bar.message() != path {
                bar.set_message(style::clean(path).into_owned());
            }
        }
        Event::Note(note) => bar.suspend(|| output::warning(note)),
    }
}
