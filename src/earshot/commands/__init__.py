"""The subcommands of `earshot`, one a file: each adds its parser and answers with an exit status."""
