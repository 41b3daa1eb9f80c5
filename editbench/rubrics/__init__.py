"""What the rubrics are made of: their wording by language, and the strict reading of a reply."""
