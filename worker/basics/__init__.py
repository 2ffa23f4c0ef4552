"""The ground floor: small tools that any room may use and that know no room."""
