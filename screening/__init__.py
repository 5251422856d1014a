"""Floor 3: candidates, properties, targets, decision, and the files a person opens."""
