//! RabbitMQ's model in this process, in memory.
