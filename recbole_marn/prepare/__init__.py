"""Raw public files -> atomic files and vectors that every model here runs on. Imports no RecBole."""
