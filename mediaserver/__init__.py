"""Everything that faces the network: transports, HTTP interface, the embedded local engine."""

__version__ = "0.1.0"
