"""ArchScale: which architecture is better at scale, and how sure are we?"""

__version__ = "0.1.0"
