"""What the three drivers share: flags, check, plan, run, record, and what a person sees of it."""
