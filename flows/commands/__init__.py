"""The subcommands of `patchflow`, by what they work on."""
