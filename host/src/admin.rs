//! How a running host is looked at and steered: the HTTP port, the control socket.
