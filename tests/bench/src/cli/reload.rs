//! `reload`: what another version of a plugin costs a shard.

use clap::Args;
use sluicegate_bench::method::quantile;
use sluicegate_bench::reload;
use sluicegate_bench::report;

use super::Common;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let made = reload::made(if arguments.common.quick { 20 } else { 500 })?;
    println!("an instance of a plugin with state: {} of them, µs", made.made.len());
    for (name, all) in
        [("made", &made.made), ("first call", &made.first), ("tenth call", &made.tenth)]
    {
        let at = |share| quantile(all, share);
        let (middle, low, high, most) = (at(0.5), at(0.1), at(0.9), at(1.0));
        println!("  {name:24} {middle:8.1} ({low:.1} to {high:.1}, at most {most:.1})");
    }
    report::write(arguments.common.json.as_deref(), &made)
}
