//! A RabbitMQ and what consumes from it, each a process of its own, so that all it costs can be seen.
//!
//! | file | what |
//! |---|---|
//! | [`wire`] | the benchmark's own connection: queues filled, looked at, emptied |
//! | [`bare`] | consumers of plain lapin, as an expert writes them, and as people do |
//! | [`process`] | contenders' processes, and what they have used |
//! | [`site`] | the host's config and folder |
//! | [`gauge`] | when a queue had how much left, and what everybody had used by then |

pub mod bare;
pub mod gauge;
pub mod process;
pub mod site;
pub mod wire;
