//! `sluicegate plugin new` and `plugin sdk`: a folder that builds anywhere, and its SDK brought up to
//! date.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};

use crate::authoring::sdk as carried;
use crate::authoring::template::{self, Template};

/// Options of `plugin new`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plugin's name, which is its crate's: too-hot
    name: String,
    /// The folder to make [default: the name]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// What to start from
    #[arg(long, value_enum, default_value_t)]
    template: Template,
}

/// Options of `plugin sdk`.
#[derive(Debug, clap::Args)]
pub(super) struct SdkArgs {
    /// The plugin's folder
    #[arg(default_value = ".", value_name = "FOLDER")]
    folder: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let folder = args.dir.clone().unwrap_or_else(|| PathBuf::from(&args.name));
    template::create(&folder, &args.name, args.template)?;
    let folder = folder.display();
    println!(
        "{folder} is a plugin:\n  \
         src/lib.rs    what it decides\n  \
         src/tests.rs  native tests: cargo test\n  \
         cases/        tests in the sandbox: sluicegate plugin test\n  \
         sdk/          the SDK of sluicegate {}; commit it\n\n\
         next:\n  \
         cd {folder}\n  \
         sluicegate plugin test    builds it; the first time takes a minute or more\n  \
         sluicegate plugin dev     does so at every change, and shows what it decides",
        env!("CARGO_PKG_VERSION")
    );
    Ok(ExitCode::SUCCESS)
}

pub(super) fn sdk(args: &SdkArgs) -> anyhow::Result<ExitCode> {
    let manifest = args.folder.join("Cargo.toml");
    ensure!(
        manifest.is_file(),
        "there is no {}: name the folder of a plugin's crate, or make one with `sluicegate plugin new \
         NAME`",
        manifest.display()
    );
    let to = args.folder.join("sdk");
    let before = carried::other(&to);
    carried::unpack(&to).with_context(|| format!("can't write {}", to.display()))?;
    println!("{} is the SDK of sluicegate {}", to.display(), env!("CARGO_PKG_VERSION"));
    if let Some(before) = before {
        println!("it was {before}");
    }
    Ok(ExitCode::SUCCESS)
}
