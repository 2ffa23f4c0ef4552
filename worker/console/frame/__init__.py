"""What stands around each screen: sessions, pages, forms, jobs, commands."""
