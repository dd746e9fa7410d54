//! What README, docs and examples say is tried: configs are read, commands parsed or run, links
//! followed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use sluicegate::cli::{self, Cli};
use sluicegate::config;

use crate::tidy::source::{root, sources};

/// A block of code in a page.
struct Block {
    /// `path:line` of its first line.
    at: String,
    language: String,
    text: String,
}

/// Path and text of every page.
fn pages() -> Vec<(String, String)> {
    let pages = sources().into_iter().filter(|source| source.path.ends_with(".md"));
    pages.map(|source| (source.path, source.text)).collect()
}

fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for (path, text) in pages() {
        let mut open: Option<Block> = None;
        for (index, line) in text.lines().enumerate() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(language), none) => {
                    let at = format!("{path}:{}", index + 2);
                    let language = language.to_owned();
                    *none = Some(Block { at, language, text: String::new() });
                }
                (None, Some(block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{path}: a block of code without an end");
    }
    blocks
}

fn blocks_of(language: &str) -> Vec<Block> {
    let blocks: Vec<Block> =
        blocks().into_iter().filter(|block| block.language == language).collect();
    assert!(!blocks.is_empty(), "no page has a block of {language}");
    blocks
}

/// Code that stands between single backticks.
fn inline(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|prose| prose.split('`').skip(1).step_by(2)).collect()
}

// === Configs ===

#[test]
fn every_config_in_the_docs_is_good() {
    let mut bad = Vec::new();
    for block in blocks_of("toml") {
        if block.text.contains("[package]") {
            if let Err(error) = block.text.parse::<toml::Table>() {
                bad.push(format!("{}: {error}", block.at));
            }
            continue;
        }
        let (Ok((_, problems)) | Err(problems)) = config::parse(&block.text, Path::new(&block.at));
        if !problems.is_empty() {
            let said = config::render_all(&problems, &block.text, false);
            bad.push(format!("{}:\n{said}", block.at));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

fn examples() -> Vec<PathBuf> {
    let entries = ["examples", "examples/meters"].map(|folder| fs::read_dir(root().join(folder)));
    let files = entries.into_iter().flat_map(Result::unwrap).map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect()
}

#[tokio::test]
async fn every_example_passes_check_without_a_warning() {
    assert!(examples().len() >= 2);
    for example in examples() {
        let file = example.to_str().unwrap();
        let cli = Cli::try_parse_from(["sluicegate", "check", "--strict", "-c", file]).unwrap();
        assert_eq!(cli::main(cli).await.unwrap(), ExitCode::SUCCESS, "{file}");
    }
}

#[test]
fn the_readme_shows_an_example_and_a_plugin_as_they_are() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let readme = read("README.md");
    let plugin = read("plugins/order-guard/src/lib.rs");
    let plugin = &plugin[plugin.find("use serde").unwrap()..plugin.find("\n#[cfg(test)]").unwrap()];
    assert!(readme.contains(&format!("```toml\n{}```", read("examples/orders.toml"))));
    assert!(readme.contains(&format!("```rust\n{}\n```", plugin.trim_end())));
}

// === Commands ===

/// The words of a command line, as a shell would have them.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (c, quote) {
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            (' ', None) => words.extend(word.take()),
            ('#', None) if word.is_none() => break,
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Every command line in the docs, with its place.
fn command_lines() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for block in blocks().into_iter().filter(|it| matches!(it.language.as_str(), "sh" | "text")) {
        let text = block.text.replace("\\\n", " ");
        let prompted = block.language == "text";
        for line in text.lines() {
            let line = line.strip_prefix("$ ").or_else(|| (!prompted).then_some(line));
            found.extend(line.map(|line| (block.at.clone(), words(line))));
        }
    }
    found.retain(|(_, words)| !words.is_empty());
    found
}

/// The host's arguments in a command line, by whatever way it is started.
fn host_arguments(words: &[String]) -> Option<Vec<String>> {
    let rest = match words.first().map(String::as_str) {
        Some("sluicegate") => &words[1..],
        Some("cargo") if words.get(1).is_some_and(|verb| verb == "run") => {
            &words[words.iter().position(|word| word == "--")? + 1..]
        }
        _ => return None,
    };
    Some([&["sluicegate".to_owned()], rest].concat())
}

#[test]
fn every_command_line_of_the_host_is_one_that_it_takes() {
    let mut bad = Vec::new();
    let mut tried = 0;
    for (at, words) in command_lines() {
        let Some(arguments) = host_arguments(&words) else { continue };
        tried += 1;
        if let Err(error) = Cli::try_parse_from(arguments) {
            bad.push(format!("{at}: {}", error.to_string().lines().next().unwrap_or_default()));
        }
    }
    assert!(tried > 10, "only {tried} command lines were found");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[tokio::test]
async fn every_check_of_a_file_that_is_here_succeeds() {
    let mut ran = 0;
    for (at, words) in command_lines() {
        let Some(mut arguments) = host_arguments(&words) else { continue };
        let here: Vec<usize> =
            (2..arguments.len()).filter(|&i| root().join(&arguments[i]).is_file()).collect();
        if arguments.get(1).is_some_and(|verb| verb == "check") && !here.is_empty() {
            for at in here {
                arguments[at] = root().join(&arguments[at]).to_str().unwrap().to_owned();
            }
            let cli = Cli::try_parse_from(arguments).unwrap();
            assert_eq!(cli::main(cli).await.unwrap(), ExitCode::SUCCESS, "{at}");
            ran += 1;
        }
    }
    assert!(ran > 0);
}

#[test]
fn every_command_named_in_the_text_exists() {
    let usage = fs::read_to_string(root().join("xtask/src/main.rs")).unwrap();
    let mut bad = Vec::new();
    for (path, text) in pages() {
        let blocks = command_lines();
        let lines = blocks.iter().filter(|(at, _)| at.starts_with(&format!("{path}:")));
        let lines = lines.map(|(_, words)| words.clone());
        for words in inline(&text).into_iter().map(words).chain(lines) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let exists = match &words[..] {
                ["sluicegate", verb, rest @ ..] if !verb.starts_with('-') => {
                    verb_exists(verb, rest)
                }
                ["cargo", "xtask", verb, ..] => usage.contains(&format!("\ncargo xtask {verb} ")),
                ["cargo", "install", "--path", folder] => {
                    root().join(folder).join("Cargo.toml").is_file()
                }
                ["cargo", "build", "--profile", profile, ..] => {
                    let root = fs::read_to_string(root().join("Cargo.toml")).unwrap();
                    root.contains(&format!("\n[profile.{profile}]\n"))
                }
                ["cargo", verb, ..] => ["build", "doc", "new", "run", "test"].contains(verb),
                _ => true,
            };
            if !exists {
                bad.push(format!("{path}: {}", words.join(" ")));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

fn verb_exists(verb: &str, rest: &[&str]) -> bool {
    let cli = Cli::command();
    cli.find_subcommand(verb).is_some_and(|found| match rest.first() {
        Some(second) if found.has_subcommands() => found.find_subcommand(second).is_some(),
        _ => true,
    })
}

// === Links ===

#[test]
fn every_link_leads_to_something() {
    let mut broken = Vec::new();
    for (path, text) in pages() {
        let folder = root().join(&path).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            let outside = link.starts_with("https://") || link.starts_with("http://");
            if !outside && !folder.join(file).exists() {
                broken.push(format!("{path}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
