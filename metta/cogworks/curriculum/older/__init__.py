"""What only code for the older versions calls: docs/migration.md. Private to the package."""
