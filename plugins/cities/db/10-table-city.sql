-- The identifiers are those of GeoNames where a city comes from there; AUTO_INCREMENT goes on above them.
-- A deleted city keeps its row: imports and statistics of the past still find it.
CREATE TABLE IF NOT EXISTS city (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT,
  name VARCHAR(100) NOT NULL,
  country CHAR(2) NOT NULL,
  admin_code VARCHAR(10) NOT NULL DEFAULT '',
  feature_code VARCHAR(10) NOT NULL DEFAULT 'PPL',
  population INT UNSIGNED NOT NULL DEFAULT 0,
  latitude DOUBLE NOT NULL,
  longitude DOUBLE NOT NULL,
  updated_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),
  deleted_at TIMESTAMP(3) NULL DEFAULT NULL,
  PRIMARY KEY (id),
  -- Counts and sums of a country are read from this index alone; its largest cities are its end.
  KEY city_of_country (country, deleted_at, population),
  KEY city_by_name (name, country),
  KEY city_by_population (deleted_at, population),
  KEY city_by_latitude (latitude, longitude)
) ENGINE = InnoDB;
