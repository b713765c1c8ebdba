"""What the importers of all frontends share."""
