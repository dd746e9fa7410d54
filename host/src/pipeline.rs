//! A queue's life: intake, shards, judgement, publishing, settlement.
