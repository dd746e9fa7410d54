//! A simulated fleet of meters, for the demo.
