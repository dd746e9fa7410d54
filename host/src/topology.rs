//! What a config needs on its brokers, as declarations: its own exchanges, queues and bindings, and
//! the host's retry and failure objects.
