"""Model servers started, attached and stopped by memagent."""
